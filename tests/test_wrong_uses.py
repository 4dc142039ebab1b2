"""Wrong uses: each ends with an exit code, one sentence with the way out, and nothing half-written."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from conftest import ROOT, draw_images, load_script
from wrong_uses import (
    Patch,
    Payload,
    Wrong,
    both,
    edited,
    file,
    folder,
    full_disk,
    halved,
    images,
    judge,
    no_gpu,
    photos,
    plugin,
    read_only,
    saved,
    snapshot,
    taken_port,
    within_an_epoch,
    without,
)

from util.checkpoint import FORMAT

G = "checkpoints/run/latest_net_G_A.pth"
STATE = "checkpoints/run/latest_state.pt"
BARE = "from models.base_model import BaseModel\nclass PBareModel(BaseModel): pass"
BIG = "--netG unet_128 --load_size 128 --crop_size 128"

# fmt: off
ROWS = [
    # ------------------------------------------------------------------ plugins
    Wrong("model_unknown", "train --model cycle_gn", "--model cycle_gn is unknown; did you mean cycle_gan?"),
    Wrong("model_unlike_any", "train --model xyz", "--model xyz is unknown; known: colorization, cycle_gan"),
    Wrong("dataset_unknown", "train --dataset_mode unalined",
          "--dataset_mode unalined is unknown; did you mean unaligned?"),
    Wrong("model_test_in_training", "train --model test",
          "--model test makes images and cannot be trained: run test.py"),
    Wrong("plugin_syntax", "mine p_syntax",
          "mine/p_syntax_model.py does not import: SyntaxError",
          before=file("mine/p_syntax_model.py", "def broken(:")),
    Wrong("plugin_needs_package", "mine p_needs",
          "mine/p_needs_model.py needs the package nowhere_found: pip install nowhere_found",
          before=file("mine/p_needs_model.py", "import nowhere_found.part")),
    Wrong("plugin_needs_our_module", "mine p_ours",
          "mine/p_ours_model.py imports models.netwerks, which does not exist",
          before=file("mine/p_ours_model.py", "import models.netwerks")),
    Wrong("plugin_without_class", "mine p_class",
          "mine/p_class_model.py must define a class PClassModel that subclasses BaseModel",
          before=file("mine/p_class_model.py", "class Other: pass")),
    Wrong("plugin_without_base", "mine p_base",
          "mine/p_base_model.py must define a class PBaseModel that subclasses BaseModel",
          before=file("mine/p_base_model.py", "class PBaseModel: pass")),
    Wrong("plugin_unfinished", "mine p_bare",
          "mine/p_bare_model.py: class PBareModel must define forward, set_input, visuals, as BaseModel says",
          before=file("mine/p_bare_model.py", BARE)),
    Wrong("plugin_flag_taken", "mine p_flag",
          "flags of --model p_flag: --lr exists already; rename it there",
          before=plugin("p_flag", "def modify_commandline_options(parser, train): parser.add_argument('--lr')")),
    Wrong("plugin_path_missing", "train --plugin_path nowhere",
          "--plugin_path nowhere: there is no such folder"),
    Wrong("plugin_path_gone", "test",
          "--plugin_path mine: there is no such folder",
          before=edited("checkpoints/run/opt.json", '"plugin_path": []', '"plugin_path": ["mine"]')),
    # ------------------------------------------------------------------ flags
    Wrong("flag_misspelt", "train --bach_size 4",
          "--bach_size is no flag of train.py with these plugins; did you mean --batch_size?"),
    Wrong("flag_of_another_model", "train --lambda_L1 10",
          "--lambda_L1 is no flag of train.py with these plugins; it belongs to --model pix2pix"),
    Wrong("flag_without_value", "train --lr", "--lr: expected one argument"),
    Wrong("word_without_flag", "train horse2zebra",
          "does not know what to do with horse2zebra: every option needs a flag before it"),
    Wrong("not_a_number", "train --lr fast", "--lr: fast is not a number"),
    Wrong("not_whole", "train --ngf 8.5", "--ngf: 8.5 is not a whole number"),
    Wrong("negative_batch", "train --batch_size -2", "--batch_size: -2 must be at least 1"),
    Wrong("zero_lr", "train --lr 0", "--lr: 0 must be more than 0"),
    Wrong("nan_lr", "train --lr nan", "--lr: nan must be"),
    Wrong("beta_of_one", "train --beta1 1", "--beta1: 1 must be at least 0 and less than 1"),
    Wrong("amp_unknown", "train --amp fp32", "--amp: invalid choice: 'fp32'"),
    Wrong("gan_mode_unknown", "train --gan_mode wgan", "--gan_mode: invalid choice: 'wgan'"),
    Wrong("direction_unknown", "train --direction AB", "--direction: invalid choice: 'AB'"),
    Wrong("switch_neither", "train --no_flip maybe", "--no_flip: maybe is neither true nor false"),
    Wrong("gpu_ids_words", "train --gpu_ids abc",
          "--gpu_ids: abc is not a list of GPU numbers like 0 or 0,1; -1 is the CPU"),
    Wrong("no_cuda", "train --device cuda",
          "--device cuda: torch sees no CUDA device here; use --device cpu",
          before=no_gpu),
    Wrong("no_cuda_in_test", "test --device cuda",
          "--device cuda: torch sees no CUDA device here; use --device cpu",
          before=no_gpu),
    Wrong("crop_beyond_load", "train --crop_size 64",
          "--load_size 32 is smaller than --crop_size 64: images are scaled first"),
    Wrong("accumulate_no_divisor", "train --batch_size 4 --accumulate 3",
          "--accumulate 3 must divide --batch_size 4"),
    Wrong("no_epochs", "train --n_epochs 0",
          "--n_epochs and --n_epochs_decay are both 0: there is nothing to train"),
    Wrong("epoch_count_beyond", "train --epoch_count 9", "--epoch_count 9 lies beyond the last epoch, 1"),
    Wrong("wgangp_and_spectral", "train --model cycle_gan_attn --gan_mode wgangp --spectral D",
          "leave out --spectral"),
    Wrong("num_test_zero", "test --num_test 0", "--num_test: 0 must be at least 1"),
    Wrong("display_unknown", "train --display consle",
          "--display consle: did you mean console? known are console, loss_log"),
    Wrong("suffix_unknown", "train --suffix {netX}", "--suffix {netX} names an option that does not exist"),
    Wrong("suffix_attribute", "train --suffix {netG.x}",
          "--suffix {netG.x} names an option that does not exist"),
    # ------------------------------------------------------------------ names and folders
    Wrong("name_climbs", "train --name ../../x",
          "--name ../../x must be a plain name inside ./checkpoints, without .. or a leading /"),
    Wrong("name_absolute", "train --name /abs", "--name /abs must be a plain name inside ./checkpoints"),
    Wrong("name_empty", "train --name=", "--name '' must be a plain name inside ./checkpoints"),
    Wrong("name_dot", "train --name .", "--name . must be a plain name inside ./checkpoints"),
    Wrong("name_too_long", f"train --name {'x' * 300}", "and of at most 200 letters"),
    Wrong("suffix_climbs", "train --suffix {phase}/../../..", "must be a plain name inside ./checkpoints"),
    Wrong("name_is_file", "train",
          "--name new: checkpoints/new is a file, not a folder; choose another name",
          before=file("checkpoints/new")),
    Wrong("checkpoints_is_file", "train --checkpoints_dir some.txt",
          "--checkpoints_dir some.txt: some.txt is a file, not a folder",
          before=file("some.txt")),
    Wrong("results_is_file", "test --results_dir some.txt/x",
          "--results_dir some.txt/x: some.txt is a file, not a folder",
          before=file("some.txt")),
    Wrong("no_permission", "train",
          "--checkpoints_dir checkpoints: no permission to write in .; name another folder",
          before=read_only),
    Wrong("phase_climbs", "test --phase ../data/test", "--phase ../data/test must be a plain name"),
    Wrong("epoch_climbs", "test --epoch ../run/latest", "--epoch ../run/latest must be a plain name"),
    Wrong("model_suffix_climbs", "single --model_suffix ./x", "--model_suffix ./x must be letters, as in _A"),
    # ------------------------------------------------------------------ files of options
    Wrong("config_missing", "train --config no.yaml",
          "--config no.yaml cannot be read: No such file or directory; check the path"),
    Wrong("config_folder", "train --config data", "--config data cannot be read: Is a directory"),
    Wrong("config_not_yaml", "train --config c",
          "--config c is not valid YAML",
          before=file("c", "a: [1\nb: 2")),
    Wrong("config_not_text", "train --config c",
          "--config c is not text in UTF-8",
          before=file("c", b"\xff\xfe\x00name: x")),
    Wrong("config_unknown_key", "train --config c",
          "--config c: --bach_size is no flag of train.py with these plugins; did you mean --batch_size?",
          before=file("c", "bach_size: 4")),
    Wrong("config_nested", "train --config c",
          "--config c must hold lines of the form name: value",
          before=file("c", "data:\n  batch_size: 4")),
    Wrong("config_list", "train --config c",
          "--config c must hold lines of the form name: value",
          before=file("c", "- batch_size")),
    Wrong("config_wrong_type", "train --config c",
          "--config c: --pool_size: many is not a whole number",
          before=file("c", "pool_size: many")),
    Wrong("config_bad_choice", "train --config c",
          "--config c: --amp: invalid choice: 'fp8'",
          before=file("c", "amp: fp8")),
    Wrong("config_without_yaml", "train --config c",
          "--config needs the package pyyaml: pip install pyyaml",
          before=both(file("c", "lr: 1"), without("yaml"))),
    Wrong("opt_json_damaged", "test",
          "checkpoints/run/opt.json is damaged: remove it and give the run's options by hand",
          before=halved("checkpoints/run/opt.json")),
    Wrong("opt_json_list", "test",
          "checkpoints/run/opt.json is damaged: remove it",
          before=file("checkpoints/run/opt.json", "[1]")),
    Wrong("opt_json_value", "test",
          "the options of checkpoints/run: --ngf: many is not a whole number",
          before=edited("checkpoints/run/opt.json", '"ngf": 8', '"ngf": "many"')),
    # ------------------------------------------------------------------ data
    Wrong("dataroot_not_given", "train.py --model cycle_gan",
          "--dataroot is missing: name the folder of images"),
    Wrong("dataroot_missing", "train --dataroot nowhere",
          "there is no folder nowhere/trainA, nor nowhere; check --dataroot"),
    Wrong("dataroot_empty", "train --dataroot mine",
          "there is no folder mine/trainA; found in mine instead: nothing",
          before=folder("mine")),
    Wrong("dataroot_is_trainA", "train --dataroot data/trainA",
          "data/trainA holds images itself; --dataroot should be the folder around it"),
    Wrong("dataroot_is_file", "train --dataroot data/trainA/000.png",
          "data/trainA/000.png is a file; --dataroot names a folder"),
    Wrong("dataroot_is_file_single", "single --dataroot data/trainA/000.png",
          "data/trainA/000.png is a file; --dataroot names a folder"),
    Wrong("phase_missing", "train --phase val",
          "there is no folder data/valA; found in data instead: test, testA"),
    Wrong("no_images", "train --dataroot mine",
          "no image in mine/trainA; there is 1 file, and mine holds trainA",
          before=file("mine/trainA/notes.txt")),
    Wrong("image_garbage", "train --dataroot mine",
          "mine/trainA/x.jpg cannot be read as an image (no known image format); repair or remove it",
          running=True, before=photos(x="no image")),
    Wrong("image_garbage_checked", "train --dataroot mine --check_data",
          "--check_data found 1 broken: file 3 of 5: mine/trainA/x.jpg cannot be read as an image",
          before=photos(x="no image")),
    Wrong("image_garbage_in_worker", "train --dataroot mine --num_threads 2",
          "mine/trainA/x.jpg cannot be read as an image", running=True,
          before=photos(x="no image")),
    Wrong("image_truncated", "train --dataroot mine",
          "mine/trainA/001.png cannot be read as an image (", running=True,
          before=both(photos(), halved("mine/trainA/001.png"))),
    Wrong("image_truncated_checked", "train --dataroot mine --check_data",
          "file 2 of 4: mine/trainA/001.png cannot be read as an image (",
          before=both(photos(), halved("mine/trainA/001.png"))),
    Wrong("image_truncated_in_test", "single --dataroot mine",
          "mine/001.png cannot be read as an image (", running=True,
          before=both(images("mine"), halved("mine/001.png"))),
    Wrong("two_channels", "train --input_nc 2 --output_nc 2",
          "--input_nc 2: image files are read with 1 (grey), 3 (RGB) or 4 (RGBA) channels"),
    Wrong("identity_of_unequal", "train --input_nc 1",
          "needs --input_nc 1 and --output_nc 3 to be equal: use --lambda_identity 0"),
    Wrong("batch_beyond_set", "train --batch_size 8",
          "the data set has 2 images, too few for --batch_size 8; add images or lower --batch_size"),
    Wrong("sizes_in_one_batch", "train --dataroot mine --preprocess none --batch_size 4",
          "images of one batch differ in size (channels, height, width): [(3, 36, 40), (3, 48, 48)]; use",
          running=True, before=both(photos(), images("mine/trainA/more", "mine/trainB/more", size=(48, 48)))),
    Wrong("image_below_crop", "train --preprocess crop --crop_size 38",
          "has 40x36 pixels before cropping, less than --crop_size 38; lower --crop_size", running=True),
    Wrong("aligned_odd_width", "pairs",
          ".png is 41 pixels wide, an odd number; an aligned file holds A and B side by side", running=True,
          before=images("mine/train", size=(41, 36))),
    Wrong("aligned_no_folder", "pairs",
          "there is no folder mine/train; found in mine instead: trainA",
          before=images("mine/trainA")),
    Wrong("aligned_names_differ", "pairs",
          "have no partner of the same name, such as mine/trainA/x.jpg; rename or remove them",
          before=photos(x="no image")),
    Wrong("aligned_sizes_differ", "pairs",
          "the two images of a pair must have the same size", running=True,
          before=both(images("mine/trainA"), images("mine/trainB", size=(48, 36)))),
    Wrong("data_without_B", "train --dataset_mode single --dataroot data/trainA",
          "--model cycle_gan asks for 'B' of each item, but --dataset_mode single gives A, A_paths",
          running=True),
    Wrong("colour_model_on_pairs", "pairs --model colorization --dataset_mode aligned",
          "--model colorization goes from 1 channel to 2, not from --input_nc 3 to --output_nc 3",
          before=images("mine/train", size=(80, 36))),
    Wrong("colour_data_in_cycle_gan", "train --dataset_mode colorization",
          "needs --input_nc 1 and --output_nc 2 to be equal: use --lambda_identity 0"),
    # ------------------------------------------------------------------ nets
    Wrong("netG_unknown", "train --netG resnet_7blocks",
          "--netG resnet_7blocks is unknown; did you mean resnet_9blocks?"),
    Wrong("netD_unknown", "train --netD patch", "--netD patch is unknown; known: basic, n_layers, pixel"),
    Wrong("norm_unknown", "train --norm layer",
          "--norm layer is unknown; known: batch, instance, none, syncbatch"),
    Wrong("init_unknown", "train --init_type he", "--init_type he is unknown; known: default, kaiming"),
    Wrong("unet_128_size", "train --netG unet_128",
          "multiples of 128, not 32 pixels: use --load_size 128 --crop_size 128, or --netG resnet_9blocks"),
    Wrong("unet_256_size", "train --netG unet_256 --load_size 300 --crop_size 300",
          "multiples of 256, not 300 pixels: use --load_size 256 --crop_size 256, or --netG resnet_9blocks"),
    Wrong("unet_odd_images", "train --netG unet_128 --preprocess none",
          "an image of 40 x 36 pixels reached a U-Net whose sides must be multiples of 128", running=True),
    Wrong("crop_below_netD", "train --load_size 16 --crop_size 16",
          "--netD basic needs images of at least 24 pixels, not 16: use a larger --crop_size"),
    Wrong("crop_below_n_layers", "train --netD n_layers --n_layers_D 5",
          "--netD n_layers needs images of at least 96 pixels, not 32"),
    Wrong("crop_below_resnet", "train --load_size 4 --crop_size 4 --netD pixel",
          "--netG resnet_6blocks needs images of at least 5 pixels, not 4"),
    Wrong("images_below_netD", "train --preprocess none --dataroot mine",
          "an image of 16 x 16 pixels reached a discriminator that needs 24 or more a side", running=True,
          before=images("mine/trainA", "mine/trainB", size=(16, 16))),
    Wrong("images_below_resnet", "train --preprocess none --netD pixel --dataroot mine",
          "an image of 4 x 4 pixels reached a ResNet that needs 5 or more a side: use larger images",
          running=True, before=images("mine/trainA", "mine/trainB", size=(4, 4))),
    Wrong("attention_place_unknown", "train --model cycle_gan_attn --attn_G_pos neck",
          "--attn_G_pos neck is unknown; known: down, mid, trunk, none"),
    Wrong("attention_in_unet", f"train --model cycle_gan_attn {BIG}",
          "--netG unet_128 has no place for attention: use a resnet, or --attn_G_pos none"),
    Wrong("attention_in_pixel", "train --model cycle_gan_attn --netD pixel",
          "--netD pixel has no place for attention: use --netD basic, or --attn_D none"),
    Wrong("attention_too_deep", "train --model cycle_gan_attn --netD n_layers --n_layers_D 2",
          "has no place 'stride8' for attention; it has: stride4, or --attn_D none"),
    Wrong("attention_too_narrow", "train --model cycle_gan_attn --ngf 1",
          "--attn_G_pos trunk: self-attention needs at least 8 channels, not 4: use a wider net (--ngf"),
    # ------------------------------------------------------------------ checkpoints
    Wrong("no_checkpoint", "test --name nothing",
          "there is no checkpoints/nothing/latest_net_G.pth: the folder holds no weights; check --name"),
    Wrong("epoch_missing", "test --epoch 7",
          "there is no checkpoints/run/7_net_G_A.pth: --epoch can be 1, latest, with nets D_A"),
    Wrong("model_suffix_missing", "single --model_suffix=",
          "latest_net_G.pth: --epoch can be 1, latest, with nets D_A, D_B, G_A, G_B"),
    Wrong("go_on_with_nothing", "go_on --name nothing",
          "--continue_train: checkpoints/nothing holds no weights of latest; it holds none; check --name"),
    Wrong("go_on_epoch_missing", "go_on --epoch 7",
          "--continue_train: checkpoints/run holds no weights of 7; it holds 1, latest; check --name"),
    Wrong("other_ngf", "test --ngf 16",
          "does not fit net G_A: 35 have other shapes (model.1.bias (8,), not (16,)); check --ngf"),
    Wrong("other_norm", "test --norm batch", "it was trained with --norm instance"),
    Wrong("other_dropout", "test --no_dropout false", "dropout moves this layer: add or remove --no_dropout"),
    Wrong("other_blocks", "test --netG resnet_9blocks", "it has 6 residual blocks, this net 9: check --netG"),
    Wrong("other_kind", "test --netG unet_128 --crop_size 128",
          "it is the file of another kind of network (check --netG and --netD), or of another project"),
    Wrong("other_channels", "test --input_nc 1 --output_nc 1", "check --input_nc and --output_nc"),
    Wrong("attention_expected", "test --model cycle_gan_attn",
          "it has no attention: load it with --init_from, or use --model cycle_gan"),
    Wrong("attention_unexpected", "test --name attn --model cycle_gan",
          "it has attention: use --model cycle_gan_attn with the run's --attn_G_pos"),
    Wrong("go_on_other_ngf", "go_on --ngf 16",
          f"{STATE} does not fit these options (size mismatch for G_A.model.1.weight"),
    Wrong("go_on_other_model", "go_on --model cycle_gan_attn",
          f"{STATE} does not fit these options (Missing key(s) in state_dict"),
    Wrong("go_on_other_batch", "go_on --batch_size 2",
          "which is no multiple of the 2 images of a step; go on with its own --batch_size",
          before=within_an_epoch),
    Wrong("weights_foreign", "test",
          "it is the file of another kind of network (check --netG and --netD), or of another project",
          before=saved(G, {"layer.weight": torch.zeros(2)})),
    Wrong("weights_no_dict", "test",
          "latest_net_G_A.pth is not the weights of one network",
          before=saved(G, [torch.zeros(2)])),
    Wrong("weights_of_all_nets", "test",
          "latest_net_G_A.pth is not the weights of one network",
          before=saved(G, {"G": {"w": torch.zeros(2)}})),
    Wrong("weights_truncated", "test",
          "latest_net_G_A.pth is no checkpoint, or is damaged or cut short: copy or download it again",
          before=halved(G)),
    Wrong("weights_empty", "test",
          "latest_net_G_A.pth is no checkpoint, or is damaged or cut short",
          before=file(G)),
    Wrong("weights_text", "test",
          "latest_net_G_A.pth is no checkpoint, or is damaged or cut short",
          before=file(G, "hello, no weights")),
    Wrong("weights_web_page", "test",
          "latest_net_G_A.pth is no checkpoint, or is damaged or cut short",
          before=file(G, "<!DOCTYPE html><html>Not found</html>")),
    Wrong("weights_malicious", "test",
          "latest_net_G_A.pth holds more than weights, and reading it would run its code: refused",
          before=saved(G, {"a": Payload()})),
    Wrong("state_malicious", "go_on",
          f"{STATE} holds more than weights, and reading it would run its code: refused",
          before=saved(STATE, {"format": Payload()})),
    Wrong("state_truncated", "go_on",
          f"{STATE} is no checkpoint, or is damaged or cut short",
          before=halved(STATE)),
    Wrong("state_foreign", "go_on",
          f"{STATE} was not written by this project: move it away",
          before=saved(STATE, {"epoch": 3, "model": {"w": torch.zeros(2)}})),
    Wrong("state_of_other_version", "go_on",
          f"{STATE} does not hold clock, model, schedule: it is of another version",
          before=saved(STATE, {"format": FORMAT})),
    Wrong("init_from_missing", "train --init_from nowhere",
          "--init_from checkpoints/nowhere holds no latest_net_*.pth for G_A, G_B"),
    Wrong("init_from_missing_keeps_run", "train --name run --init_from nowhere",
          "--init_from checkpoints/nowhere holds no latest_net_*.pth for G_A, G_B"),
    Wrong("init_from_other_kind", f"train --name attn {BIG} --init_from run",
          "latest_net_G_A.pth shares no weights with the net it is meant for"),
    Wrong("init_from_truncated", "train --init_from run",
          "latest_net_G_B.pth is no checkpoint, or is damaged or cut short",
          before=halved("checkpoints/run/latest_net_G_B.pth")),
    # ------------------------------------------------------------------ packages
    Wrong("no_dominate", "train --display html",
          "--display html needs the package dominate: pip install dominate",
          before=without("dominate")),
    Wrong("no_dominate_going_on", "go_on --display html",
          "--display html needs the package dominate: pip install dominate",
          before=without("dominate")),
    Wrong("no_dominate_in_test", "test",
          "the page of results needs the package dominate: pip install dominate",
          before=without("dominate")),
    Wrong("no_tensorboard", "train --display tensorboard",
          "--display tensorboard needs the package tensorboard: pip install tensorboard",
          before=without("tensorboard")),
    Wrong("no_wandb", "train --display wandb",
          "--display wandb needs the package wandb: pip install wandb",
          before=without("wandb")),
    # ------------------------------------------------------------------ scripts
    Wrong("combine_no_folder", "scripts/combine_A_and_B.py --fold_A no --fold_B data/testB --fold_AB both",
          "--fold_A: there is no folder no"),
    Wrong("combine_no_partner", "scripts/combine_A_and_B.py --fold_A data/test --fold_B mine --fold_AB both",
          "have no partner, the first needs mine/000.png; add the partners",
          before=folder("mine")),
    Wrong("combine_flag_missing", "scripts/combine_A_and_B.py --fold_A data/testA",
          "the following arguments are required: --fold_B, --fold_AB; see combine_A_and_B.py --help"),
    Wrong("download_unknown", "scripts/download_dataset.py horse2zebr",
          "the data set horse2zebr is unknown; did you mean horse2zebra?"),
    Wrong("toy_size", "scripts/make_toy_dataset.py --out toy --size 31", "--size 31 is out of range"),
    Wrong("port_taken", "scripts/visdom_server.py --port 18097",
          "port 18097 of 127.0.0.1 cannot be had (address already in use); end what runs there",
          before=taken_port),
    # ------------------------------------------------------------------ faults while running
    Wrong("save_only_unknown", "test --save_only fake_C",
          "--save_only fake_C: the model shows no such image; it shows real_A, fake_B"),
    Wrong("diverged", "go_on --lr 1e30",
          "is not a finite number at step 4; the last saved state is unharmed: go on from it",
          code=1, running=True),
    Wrong("nan_in_loss", "mine p_nan",
          "the loss G is not a finite number at step 1", code=1, running=True,
          before=plugin("p_nan", "def terms_G(self): return {'G': self.fake_B.sum() * float('nan')}")),
    Wrong("nan_in_gradient", "mine p_sqrt --max_dataset_size 1",
          "the weights of G are no longer finite numbers, so they were not saved", code=1, running=True,
          before=plugin("p_sqrt", "def terms_G(self): return {'G': (self.fake_B * 0).sum().sqrt()}")),
    Wrong("out_of_memory", "mine p_large",
          "out of memory: use a smaller --batch_size, --crop_size or --ngf, or in training --accumulate",
          code=1, running=True, before=plugin("p_large", "def forward(self): self.real_A.new_empty(2**58)")),
    Wrong("disk_full_at_start", "train",
          "cannot write checkpoints/new/", code=1, running=True,
          before=full_disk()),
    Wrong("disk_full_at_state", "go_on",
          f"cannot write {STATE}: No space left on device; free some space there", code=1, running=True,
          before=full_disk("latest_state")),
    Wrong("disk_full_at_weights", "go_on",
          "cannot write checkpoints/run/2_net_D_A.pth: No space left on device; free some space",
          code=1, running=True, before=full_disk("2_net_D_A")),
    Wrong("disk_full_in_test", "test",
          "cannot write results/run/test_latest/images/", code=1, running=True,
          before=full_disk("images")),
]
# fmt: on

# rows that ask for a process of their own: what a shell does with the command
SHELLS = {
    "flag_misspelt": "{}",
    "weights_malicious": "{}",
    "disk_full_while_saving": "ulimit -f 400; {}",
    "disk_full_under_output": "{} > /dev/full",
}
PROCESS_ROWS = [
    *(row for row in ROWS if row.id in SHELLS),
    Wrong(
        "disk_full_while_saving",
        "train",
        "cannot write checkpoints/new/latest_net_G_A.pth",
        code=1,
        running=True,
    ),
    Wrong(
        "disk_full_under_output", "go_on", "the disk is full, perhaps under the output", code=1, running=True
    ),
]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with data/ of 2 small images a domain, and the trained runs `run` and `attn`."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("world")
    for name in ("trainA", "trainB", "testA", "testB"):
        draw_images(root / "data" / name, 2)
    for name in ("train", "test"):
        draw_images(root / "data" / name, 2, size=(80, 36))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for name, model in (("run", "cycle_gan"), ("attn", "cycle_gan_attn")):
            words = Wrong("", f"train --name {name} --model {model} --display loss_log", "").words()
            patch.setattr(sys, "argv", words)
            assert load_script(words[0]).main() == 0
        yield root


@pytest.fixture
def desk(world: Path, tmp_path: Path, monkeypatch: Patch) -> Callable[[Wrong], dict[str, str]]:
    """Lays out a fresh current folder for a row; returns what it holds."""

    def lay_out(row: Wrong) -> dict[str, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "path", list(sys.path))
        (tmp_path / "data").symlink_to(world / "data")
        for name in {"run", "attn"} & set(row.words()):
            shutil.copytree(world / "checkpoints" / name, Path("checkpoints") / name)
        if row.before:
            row.before(monkeypatch)
        return snapshot(tmp_path)

    return lay_out


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_wrong_use(
    row: Wrong,
    desk: Callable[[Wrong], dict[str, str]],
    run_script: Callable[..., int],
    capfd: pytest.CaptureFixture[str],
) -> None:
    before = desk(row)
    capfd.readouterr()
    code = run_script(*row.words())
    judge(row, code, capfd.readouterr().err, before, snapshot(Path()))


@pytest.mark.parametrize("row", PROCESS_ROWS, ids=lambda row: row.id)
def test_wrong_use_in_a_process(row: Wrong, desk: Callable[[Wrong], dict[str, str]]) -> None:
    command = SHELLS[row.id].format('"$@"')
    if "/dev/full" in command and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    before = desk(row)
    script, *words = row.words()
    argv = ["sh", "-c", command, "sh", sys.executable, str(ROOT / script), *words]
    # two threads that wait for each other on a busy machine are a hundred times slower than one
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)
    judge(row, done.returncode, done.stderr, before, snapshot(Path()))


def test_ids_are_unique() -> None:
    assert len({row.id for row in ROWS}) == len(ROWS) >= 50
