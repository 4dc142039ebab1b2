"""HTML pages that open from a file without a server: the training page, test results and sample sheets.

Markup, styles and curves drawn as SVG belong here. The callers decide which values and images a page shows.
"""
