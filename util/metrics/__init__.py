"""Measures of image quality, one small file each."""
