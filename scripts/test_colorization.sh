#!/usr/bin/env bash
# Run from the root of the repository; further flags are handed on.
set -e
python test.py --dataroot ./datasets/colorization --name color_pix2pix --model colorization "$@"
