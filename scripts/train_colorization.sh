#!/usr/bin/env bash
# Run this in the root folder of the repository; additional flags are passed on.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
python train.py --dataroot ./datasets/colorization --name color_pix2pix --model colorization "$@"
