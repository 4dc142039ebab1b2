#!/usr/bin/env bash
# Run from the root of the repository; further flags are handed on.
set -e
python test.py --dataroot ./datasets/facades --name facades_pix2pix --model pix2pix --netG unet_256 --direction BtoA --dataset_mode aligned --norm batch "$@"
