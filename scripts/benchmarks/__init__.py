"""What scripts/benchmark.py times, and how."""
