"""The entries of scripts/benchmark.py, and how each of them is timed."""
