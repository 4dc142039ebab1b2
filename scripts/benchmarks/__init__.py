"""The entries of scripts/benchmark.py and how each is timed."""
