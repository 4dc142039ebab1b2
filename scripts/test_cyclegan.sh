#!/usr/bin/env bash
# Run from the root of the repository; further flags are handed on.
set -e
python test.py --dataroot ./datasets/maps --name maps_cyclegan --model cycle_gan --phase test --no_dropout "$@"
