"""What a run shows while it trains: losses and images, sent to one backend after another.

The display backends (`--display`) and the records of losses that they share belong here. `util/pages` writes
HTML, and `util/imaging` arranges images.
"""
