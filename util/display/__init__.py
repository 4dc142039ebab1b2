"""What a run shows while it trains: the display backends (`--display`) and their log files.

`util/pages` writes the HTML, and `util/imaging` arranges the images.
"""
