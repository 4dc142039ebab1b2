#!/usr/bin/env bash
# Run this in the root folder of the repository; additional flags are passed on.
python train.py --dataroot ./datasets/colorization --name color_pix2pix --model colorization "$@"
