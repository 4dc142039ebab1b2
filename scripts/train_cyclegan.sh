#!/usr/bin/env bash
# Run from the root of the repository; further flags are handed on.
set -e
python train.py --dataroot ./datasets/maps --name maps_cyclegan --model cycle_gan --pool_size 50 --no_dropout "$@"
