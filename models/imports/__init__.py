"""Converters of weights that public repositories of SAGAN and BigGAN have saved."""
