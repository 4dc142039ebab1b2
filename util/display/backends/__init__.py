"""Display backends, one small file each; `base.py` is the interface they share."""
