"""Measures of image quality as functions of tensors, one per file."""
