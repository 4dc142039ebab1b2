#!/usr/bin/env bash
# Run this in the root folder of the repository; additional flags are passed on.
python test.py --dataroot ./datasets/maps --name maps_cyclegan --model cycle_gan --phase test --no_dropout "$@"
