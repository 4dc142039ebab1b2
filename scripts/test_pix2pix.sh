#!/usr/bin/env bash
# Run this in the root folder of the repository; additional flags are passed on.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
python test.py --dataroot ./datasets/facades --name facades_pix2pix --model pix2pix --netG unet_256 --direction BtoA --dataset_mode aligned --norm batch "$@"
