#!/usr/bin/env bash
# Run from the root of the repository; further flags are handed on.
set -e
python test.py --dataroot ./datasets/facades/testB --name facades_pix2pix --model test --netG unet_256 --direction BtoA --dataset_mode single --norm batch "$@"
