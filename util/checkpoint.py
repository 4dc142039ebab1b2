"""Where plugins found `save` and `load` before they moved to util/run/checkpoint.py."""

from util.run.checkpoint import load, save

__all__ = ["load", "save"]
