#!/usr/bin/env bash
# Run this in the root folder of the repository; additional flags are passed on.
python train.py --dataroot ./datasets/maps --name maps_cyclegan --model cycle_gan --pool_size 50 --no_dropout "$@"
