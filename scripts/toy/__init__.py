"""The built-in data set: animals and scenes drawn from a seed, and the score of a translation of them.

Only `scripts/make_toy_dataset.py`, `scripts/score_translations.py` and the tests use it.
"""
