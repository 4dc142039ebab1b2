"""What a run shows while it trains: losses and images, sent to one backend after another.

The display backends (`--display`) and the log files that they write belong here. `util/pages` writes
HTML, and `util/imaging` arranges images.
"""
