"""The built-in data set, drawn from a seed, and the score of its translations; only for scripts and tests."""
