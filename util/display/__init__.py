"""What a run shows while it trains: losses and images, sent to one backend after another.

Here belong the display backends (`--display`) and the records of losses that they share. HTML is written by
`util/pages`; images are arranged by `util/imaging`.
"""
