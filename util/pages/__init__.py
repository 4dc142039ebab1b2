"""HTML pages that open from a file without a server: the training page, test results and sample sheets."""
