"""HTML pages that open from a file without a server: the training page, test results and sample sheets.

Here belong markup, styles and curves drawn as SVG. Which values and images appear is decided by the callers.
"""
