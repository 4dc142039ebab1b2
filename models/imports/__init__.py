"""Translators of weights that well-known public repositories saved."""
