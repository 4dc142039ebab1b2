"""The built-in data set: animals and scenes drawn from a seed, and the score of translations of them.

Only scripts and tests use this package.
"""
