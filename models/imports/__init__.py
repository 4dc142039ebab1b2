"""Converters of weights saved by public repositories of SAGAN and BigGAN; scripts/import_weights.py calls them."""
