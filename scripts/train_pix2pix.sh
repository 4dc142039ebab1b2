#!/usr/bin/env bash
# Run this in the root folder of the repository; additional flags are passed on.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
python train.py --dataroot ./datasets/facades --name facades_pix2pix --model pix2pix --netG unet_256 --direction BtoA --lambda_L1 100 --dataset_mode aligned --norm batch --pool_size 0 "$@"
