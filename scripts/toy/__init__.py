"""The built-in data set, drawn from a seed; only for scripts and tests."""
