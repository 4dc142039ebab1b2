"""Measures of image quality, one per file; each takes tensors and knows no model or data set."""
