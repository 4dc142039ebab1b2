#!/usr/bin/env bash
# Run this in the root folder of the repository; additional flags are passed on.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
python test.py --dataroot ./datasets/facades/testB --name facades_pix2pix --model test --netG unet_256 --direction BtoA --dataset_mode single --norm batch "$@"
