"""Display backends, one file each. `base.py` is their interface; `util/visualizer.py` lists them by name."""
