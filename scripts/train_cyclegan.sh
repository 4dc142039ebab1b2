#!/usr/bin/env bash
# Run this in the root folder of the repository; additional flags are passed on.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
python train.py --dataroot ./datasets/maps --name maps_cyclegan --model cycle_gan --pool_size 50 --no_dropout "$@"
