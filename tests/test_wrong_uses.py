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
    hdf5,
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

from util.run.checkpoint import FORMAT

G = "checkpoints/run/latest_net_G_A.pth"
STATE = "checkpoints/run/latest_state.pt"
BARE = "from models.base_model import BaseModel\nclass PBareModel(BaseModel): pass"
BIG = "--netG unet_128 --load_size 128 --crop_size 128"

# fmt: off
ROWS = [
    # ------------------------------------------------------------------ noise to image
    Wrong("labels_missing", "noise cgan --dataroot data/testA", "--model cgan data/testA"),
    Wrong("more_classes_than_said", "noise biggan --dataroot data/classes --n_classes 1",
          "--n_classes 1 2 data/classes"),
    Wrong("other_classes_at_test_time", "draw --dataset_mode labeled --dataroot one",
          "one 1 2", before=images("one/dog")),
    Wrong("centre_without_center", "noise dcgan --dataroot data/testA --center_size 20 --preprocess crop",
          "--center_size 20 --preprocess crop"),
    Wrong("classes_for_dcgan", "noise dcgan --dataroot data/testA --n_classes 2", "--model dcgan cgan"),
    Wrong("images_beside_classes", "noise cgan --dataroot mixed",
          "mixed", before=both(images("mixed/a", "mixed/b"), images("mixed"))),
    Wrong("size_without_architecture", "noise biggan --dataroot data/classes --crop_size 96",
          "biggan --crop_size 96 32 64 128 256"),
    Wrong("size_without_nets", "noise dcgan --dataroot data/testA --crop_size 48",
          "dcgan --crop_size 48 32 64 128"),
    Wrong("attention_nowhere", "noise sagan --dataroot data/testA --attn_res 12", "12"),
    Wrong("attention_unread", "noise sagan --dataroot data/testA --attn_res big", "--attn_res big"),
    Wrong("points_unread", "noise sagan --dataroot data/testA --attn_points 1,2", "--attn_points 1,2"),
    Wrong("noise_not_in_chunks", "noise biggan --dataroot data/classes --crop_size 64 --z_dim 101",
          "--model biggan"),
    Wrong("net_of_another_family", "noise sagan --dataroot data/testA --netG resnet_9blocks",
          "--netG resnet_9blocks --model sagan"),
    Wrong("images_not_square", "noise dcgan --dataroot data/testA --preprocess none", "--model dcgan"),
    Wrong("smaller_than_centre", "noise dcgan --dataroot data/testA --center_size 160", "160"),
    Wrong("penalty_on_spectral_norm", "noise sagan --dataroot data/testA --gan_mode wgangp",
          "--sn_scope none"),
    Wrong("augmentation_unknown", "noise dcgan --dataroot data/testA --diffaug colour",
          "--diffaug colour color"),
    Wrong("tv_not_on_disk", "noise dcgan --dataroot data --dataset_mode torchvision --tv_dataset MNIST",
          "--download"),
    Wrong("tv_unknown", "noise dcgan --dataroot data --dataset_mode torchvision --tv_dataset MINST",
          "--tv_dataset MINST"),
    Wrong("tv_no_such_part", "noise dcgan --dataroot data --dataset_mode torchvision --phase val",
          "--phase val --dataset_mode torchvision"),
    Wrong("hdf5_of_another_size", "noise dcgan --dataset_mode hdf5 --dataroot small.h5",
          "small.h5", before=hdf5("small.h5", 16)),
    Wrong("hdf5_of_other_channels", "noise dcgan --dataset_mode hdf5 --dataroot grey.h5",
          "grey.h5 1", before=hdf5("grey.h5", 32, channels=1)),
    Wrong("hdf5_not_one", "noise dcgan --dataset_mode hdf5 --dataroot no.h5",
          "no.h5", before=file("no.h5", "text")),
    Wrong("hdf5_missing", "noise dcgan --dataset_mode hdf5 --dataroot nowhere.h5", "nowhere.h5"),
    Wrong("h5py_missing", "noise dcgan --dataset_mode hdf5 --dataroot small.h5",
          "h5py", before=both(hdf5("small.h5", 32), without("h5py"))),
    Wrong("learning_from_noise", "noise dcgan --dataset_mode noise", "--dataset_mode noise"),
    Wrong("translating_noise", "test --dataset_mode noise", "--dataset_mode noise"),
    Wrong("truncation_negative", "draw --truncation -1", "--truncation -1"),
    Wrong("truncation_no_number", "draw --truncation much", "--truncation much"),
    Wrong("class_out_of_range", "draw --labels 0,2", "--labels 0,2 2 0 1"),
    Wrong("class_no_number", "draw --labels cat", "--labels cat"),
    Wrong("noise_without_end", "draw --num_test all", "--num_test all"),
    Wrong("drawing_without_run", "test.py --name nobody", "checkpoints/nobody --name"),
    Wrong("drawing_without_run_of_a_model", "test.py --model dcgan --name nobody",
          "checkpoints/nobody --name"),
    Wrong("seed_beyond_noise", "draw --seed 4294967295", "--seed"),
    Wrong("sheet_unknown", "sheet --sheets gird", "gird grid"),
    Wrong("sheet_class_out_of_range", "sheet --labels 5", "--labels 5 0 1"),
    Wrong("sheet_of_a_translator", "scripts/sample.py --name run", "--model cycle_gan"),
    Wrong("sheet_without_run", "scripts/sample.py --name nobody", "checkpoints/nobody"),
    Wrong("import_missing_file", "bring sagan --G nowhere.pth", "nowhere.pth"),
    Wrong("import_of_another_net", "bring sagan --G other.pth",
          "other.pth", before=saved("other.pth", {"weight": torch.zeros(1)})),
    Wrong("import_over_a_run", "scripts/import_weights.py --source sagan --G x.pth --name run",
          "checkpoints/run"),
    # ------------------------------------------------------------------ plugins
    Wrong("model_unknown", "train --model cycle_gn", "--model cycle_gn cycle_gan"),
    Wrong("model_unlike_any", "train --model xyz", "--model xyz biggan cgan colorization cycle_gan"),
    Wrong("dataset_unknown", "train --dataset_mode unalined", "--dataset_mode unalined unaligned"),
    Wrong("model_test_in_training", "train --model test", "--model test test.py"),
    Wrong("plugin_syntax", "mine p_syntax",
          "mine/p_syntax_model.py SyntaxError", before=file("mine/p_syntax_model.py", "def broken(:")),
    Wrong("plugin_needs_package", "mine p_needs",
          "mine/p_needs_model.py nowhere_found", before=file("mine/p_needs_model.py", "import nowhere_found.part")),
    Wrong("plugin_needs_our_module", "mine p_ours",
          "mine/p_ours_model.py models.netwerks", before=file("mine/p_ours_model.py", "import models.netwerks")),
    Wrong("plugin_without_class", "mine p_class",
          "mine/p_class_model.py PClassModel BaseModel", before=file("mine/p_class_model.py", "class Other: pass")),
    Wrong("plugin_without_base", "mine p_base",
          "mine/p_base_model.py PBaseModel BaseModel", before=file("mine/p_base_model.py", "class PBaseModel: pass")),
    Wrong("plugin_unfinished", "mine p_bare",
          "mine/p_bare_model.py PBareModel forward set_input visuals BaseModel", before=file("mine/p_bare_model.py", BARE)),
    Wrong("plugin_flag_taken", "mine p_flag",
          "--model p_flag --lr", before=plugin("p_flag", "def modify_commandline_options(parser, train): parser.add_argument('--lr')")),
    Wrong("plugin_path_missing", "train --plugin_path nowhere", "--plugin_path nowhere"),
    Wrong("plugin_path_gone", "test",
          "--plugin_path mine", before=edited("checkpoints/run/opt.json", '"plugin_path": []', '"plugin_path": ["mine"]')),
    # ------------------------------------------------------------------ flags
    Wrong("flag_misspelt", "train --bach_size 4", "--bach_size --batch_size"),
    Wrong("flag_of_another_model", "train --lambda_L1 10", "--lambda_L1 --model pix2pix"),
    Wrong("flag_without_value", "train --lr", "--lr"),
    Wrong("word_without_flag", "train horse2zebra", "horse2zebra"),
    Wrong("not_a_number", "train --lr fast", "--lr fast"),
    Wrong("not_whole", "train --ngf 8.5", "--ngf 8.5"),
    Wrong("negative_batch", "train --batch_size -2", "--batch_size -2"),
    Wrong("zero_lr", "train --lr 0", "--lr 0"),
    Wrong("nan_lr", "train --lr nan", "--lr nan"),
    Wrong("beta_of_one", "train --beta1 1", "--beta1 1"),
    Wrong("amp_unknown", "train --amp fp32", "--amp fp32"),
    Wrong("gan_mode_unknown", "train --gan_mode wgan", "--gan_mode wgan"),
    Wrong("direction_unknown", "train --direction AB", "--direction AB"),
    Wrong("switch_neither", "train --no_flip maybe", "--no_flip maybe"),
    Wrong("gpu_ids_words", "train --gpu_ids abc", "--gpu_ids abc -1"),
    Wrong("no_cuda", "train --device cuda", "--device cuda cpu", before=no_gpu),
    Wrong("no_cuda_in_test", "test --device cuda", "--device cuda cpu", before=no_gpu),
    Wrong("crop_beyond_load", "train --crop_size 64", "--load_size 32 --crop_size 64"),
    Wrong("accumulate_no_divisor", "train --batch_size 4 --accumulate 3", "--accumulate 3 --batch_size 4"),
    Wrong("no_epochs", "train --n_epochs 0", "--n_epochs --n_epochs_decay 0"),
    Wrong("epoch_count_beyond", "train --epoch_count 9", "--epoch_count 9 1"),
    Wrong("wgangp_and_spectral", "train --model cycle_gan_attn --gan_mode wgangp --spectral D",
          "--gan_mode wgangp --spectral"),
    Wrong("num_test_zero", "test --num_test 0", "--num_test 0"),
    Wrong("display_unknown", "train --display consle", "--display consle console loss_log"),
    Wrong("suffix_unknown", "train --suffix {netX}", "--suffix {netX}"),
    Wrong("suffix_attribute", "train --suffix {netG.x}", "--suffix {netG.x}"),
    # ------------------------------------------------------------------ names and folders
    Wrong("name_climbs", "train --name ../../x", "--name ../../x ./checkpoints"),
    Wrong("name_absolute", "train --name /abs", "--name /abs ./checkpoints"),
    Wrong("name_empty", "train --name=", "--name ./checkpoints"),
    Wrong("name_dot", "train --name .", "--name . ./checkpoints"),
    Wrong("name_too_long", f"train --name {'x' * 300}", "--name 200"),
    Wrong("suffix_climbs", "train --suffix {phase}/../../..", "--name ./checkpoints"),
    Wrong("name_is_file", "train", "--name new checkpoints/new", before=file("checkpoints/new")),
    Wrong("checkpoints_is_file", "train --checkpoints_dir some.txt",
          "--checkpoints_dir some.txt", before=file("some.txt")),
    Wrong("results_is_file", "test --results_dir some.txt/x",
          "--results_dir some.txt/x some.txt", before=file("some.txt")),
    Wrong("no_permission", "train", "--checkpoints_dir checkpoints", before=read_only),
    Wrong("phase_climbs", "test --phase ../data/test", "--phase ../data/test"),
    Wrong("epoch_climbs", "test --epoch ../run/latest", "--epoch ../run/latest"),
    Wrong("model_suffix_climbs", "single --model_suffix ./x", "--model_suffix ./x"),
    # ------------------------------------------------------------------ files of options
    Wrong("config_missing", "train --config no.yaml", "--config no.yaml"),
    Wrong("config_folder", "train --config data", "--config data"),
    Wrong("config_not_yaml", "train --config c", "--config c", before=file("c", "a: [1\nb: 2")),
    Wrong("config_not_text", "train --config c", "--config c", before=file("c", b"\xff\xfe\x00name: x")),
    Wrong("config_unknown_key", "train --config c",
          "--config c --bach_size --batch_size", before=file("c", "bach_size: 4")),
    Wrong("config_nested", "train --config c", "--config c", before=file("c", "data:\n  batch_size: 4")),
    Wrong("config_list", "train --config c", "--config c", before=file("c", "- batch_size")),
    Wrong("config_wrong_type", "train --config c",
          "--config c --pool_size many", before=file("c", "pool_size: many")),
    Wrong("config_bad_choice", "train --config c", "--config c --amp fp8", before=file("c", "amp: fp8")),
    Wrong("config_without_yaml", "train --config c",
          "--config pyyaml", before=both(file("c", "lr: 1"), without("yaml"))),
    Wrong("opt_json_damaged", "test", "checkpoints/run/opt.json", before=halved("checkpoints/run/opt.json")),
    Wrong("opt_json_list", "test",
          "checkpoints/run/opt.json", before=file("checkpoints/run/opt.json", "[1]")),
    Wrong("opt_json_value", "test",
          "checkpoints/run --ngf many", before=edited("checkpoints/run/opt.json", '"ngf": 8', '"ngf": "many"')),
    # ------------------------------------------------------------------ data
    Wrong("dataroot_not_given", "train.py --model cycle_gan", "--dataroot"),
    Wrong("dataroot_missing", "train --dataroot nowhere", "--dataroot nowhere"),
    Wrong("dataroot_empty", "train --dataroot mine", "mine/trainA mine", before=folder("mine")),
    Wrong("dataroot_is_trainA", "train --dataroot data/trainA", "data/trainA --dataroot"),
    Wrong("dataroot_is_file", "train --dataroot data/trainA/000.png", "data/trainA/000.png --dataroot"),
    Wrong("dataroot_is_file_single", "single --dataroot data/trainA/000.png",
          "data/trainA/000.png --dataroot"),
    Wrong("phase_missing", "train --phase val", "data/valA data classes test testA"),
    Wrong("no_images", "train --dataroot mine", "mine/trainA mine", before=file("mine/trainA/notes.txt")),
    Wrong("image_garbage", "train --dataroot mine",
          "mine/trainA/x.jpg", running=True, before=photos(x="no image")),
    Wrong("image_garbage_checked", "train --dataroot mine --check_data",
          "--check_data 1 3 5 mine/trainA/x.jpg", before=photos(x="no image")),
    Wrong("image_garbage_in_worker", "train --dataroot mine --num_threads 2",
          "mine/trainA/x.jpg", running=True, before=photos(x="no image")),
    Wrong("image_truncated", "train --dataroot mine",
          "mine/trainA/001.png", running=True, before=both(photos(), halved("mine/trainA/001.png"))),
    Wrong("image_truncated_checked", "train --dataroot mine --check_data",
          "2 4 mine/trainA/001.png", before=both(photos(), halved("mine/trainA/001.png"))),
    Wrong("image_truncated_in_test", "single --dataroot mine",
          "mine/001.png", running=True, before=both(images("mine"), halved("mine/001.png"))),
    Wrong("two_channels", "train --input_nc 2 --output_nc 2", "--input_nc 2"),
    Wrong("identity_of_unequal", "train --input_nc 1", "--input_nc 1 --output_nc 3 --lambda_identity 0"),
    Wrong("batch_beyond_set", "train --batch_size 8", "2 --batch_size 8"),
    Wrong("sizes_in_one_batch", "train --dataroot mine --preprocess none --batch_size 4",
          "--preprocess --batch_size", running=True, before=both(photos(), images("mine/trainA/more", "mine/trainB/more", size=(48, 48)))),
    Wrong("image_below_crop", "train --preprocess crop --crop_size 38", "--crop_size 38", running=True),
    Wrong("aligned_odd_width", "pairs", "41", running=True, before=images("mine/train", size=(41, 36))),
    Wrong("aligned_no_folder", "pairs", "mine/train mine trainA", before=images("mine/trainA")),
    Wrong("aligned_names_differ", "pairs", "mine/trainA/x.jpg", before=photos(x="no image")),
    Wrong("aligned_sizes_differ", "pairs",
          "mine/trainA mine/trainB", running=True, before=both(images("mine/trainA"), images("mine/trainB", size=(48, 36)))),
    Wrong("data_without_B", "train --dataset_mode single --dataroot data/trainA",
          "--model cycle_gan B --dataset_mode single A_paths", running=True),
    Wrong("colour_model_on_pairs", "pairs --model colorization --dataset_mode aligned",
          "--model colorization 1 2 --input_nc 3 --output_nc", before=images("mine/train", size=(80, 36))),
    Wrong("colour_data_in_cycle_gan", "train --dataset_mode colorization",
          "--input_nc 1 --output_nc 2 --lambda_identity 0"),
    # ------------------------------------------------------------------ nets
    Wrong("netG_unknown", "train --netG resnet_7blocks", "--netG resnet_7blocks resnet_9blocks"),
    Wrong("netD_unknown", "train --netD patch", "--netD patch basic n_layers pixel"),
    Wrong("norm_unknown", "train --norm layer", "--norm layer batch instance none syncbatch"),
    Wrong("init_unknown", "train --init_type he", "--init_type he default kaiming"),
    Wrong("unet_128_size", "train --netG unet_128", "128 32 --load_size --crop_size --netG resnet_9blocks"),
    Wrong("unet_256_size", "train --netG unet_256 --load_size 300 --crop_size 300",
          "256 300 --load_size --crop_size --netG resnet_9blocks"),
    Wrong("unet_odd_images", "train --netG unet_128 --preprocess none", "40 36 128", running=True),
    Wrong("crop_below_netD", "train --load_size 16 --crop_size 16", "--netD basic 24 16 --crop_size"),
    Wrong("crop_below_n_layers", "train --netD n_layers --n_layers_D 5", "--netD n_layers 96 32"),
    Wrong("crop_below_resnet", "train --load_size 4 --crop_size 4 --netD pixel", "--netG resnet_6blocks 5 4"),
    Wrong("images_below_netD", "train --preprocess none --dataroot mine",
          "16 24", running=True, before=images("mine/trainA", "mine/trainB", size=(16, 16))),
    Wrong("images_below_resnet", "train --preprocess none --netD pixel --dataroot mine",
          "4 5", running=True, before=images("mine/trainA", "mine/trainB", size=(4, 4))),
    Wrong("attention_place_unknown", "train --model cycle_gan_attn --attn_G_pos neck",
          "--attn_G_pos neck down mid trunk none"),
    Wrong("attention_in_unet", f"train --model cycle_gan_attn {BIG}", "--netG unet_128 --attn_G_pos"),
    Wrong("attention_in_pixel", "train --model cycle_gan_attn --netD pixel", "--netD pixel basic --attn_D"),
    Wrong("attention_too_deep", "train --model cycle_gan_attn --netD n_layers --n_layers_D 2",
          "stride8 stride4 --attn_D none"),
    Wrong("attention_too_narrow", "train --model cycle_gan_attn --ngf 1", "--attn_G_pos trunk 8 4 --ngf"),
    # ------------------------------------------------------------------ checkpoints
    Wrong("no_checkpoint", "test --name nothing", "checkpoints/nothing/latest_net_G.pth --name"),
    Wrong("epoch_missing", "test --epoch 7", "checkpoints/run/7_net_G_A.pth --epoch 1 latest D_A"),
    Wrong("model_suffix_missing", "single --model_suffix=",
          "latest_net_G.pth --epoch 1 latest D_A D_B G_A G_B"),
    Wrong("go_on_with_nothing", "go_on --name nothing", "--continue_train checkpoints/nothing latest --name"),
    Wrong("go_on_epoch_missing", "go_on --epoch 7", "--continue_train checkpoints/run 7 1 latest --name"),
    Wrong("other_ngf", "test --ngf 16", "G_A 8 16 --ngf"),
    Wrong("other_norm", "test --norm batch", "--norm instance"),
    Wrong("other_dropout", "test --no_dropout false", "--no_dropout"),
    Wrong("other_blocks", "test --netG resnet_9blocks", "6 9 --netG"),
    Wrong("other_kind", "test --netG unet_128 --crop_size 128", "--netG --netD"),
    Wrong("other_channels", "test --input_nc 1 --output_nc 1", "--input_nc --output_nc"),
    Wrong("attention_expected", "test --model cycle_gan_attn", "--init_from --model cycle_gan"),
    Wrong("attention_unexpected", "test --name attn --model cycle_gan",
          "--model cycle_gan_attn --attn_G_pos"),
    Wrong("go_on_other_ngf", "go_on --ngf 16", f"{STATE} G_A.model.1.weight"),
    Wrong("go_on_other_model", "go_on --model cycle_gan_attn", STATE),
    Wrong("go_on_other_batch", "go_on --batch_size 2", "2 --batch_size", before=within_an_epoch),
    Wrong("weights_foreign", "test",
          "latest_net_G_A.pth --netG --netD", before=saved(G, {"layer.weight": torch.zeros(2)})),
    Wrong("weights_no_dict", "test", "latest_net_G_A.pth", before=saved(G, [torch.zeros(2)])),
    Wrong("weights_of_all_nets", "test", "latest_net_G_A.pth", before=saved(G, {"G": {"w": torch.zeros(2)}})),
    Wrong("weights_truncated", "test", "latest_net_G_A.pth", before=halved(G)),
    Wrong("weights_empty", "test", "latest_net_G_A.pth", before=file(G)),
    Wrong("weights_text", "test", "latest_net_G_A.pth", before=file(G, "hello, no weights")),
    Wrong("weights_web_page", "test",
          "latest_net_G_A.pth", before=file(G, "<!DOCTYPE html><html>Not found</html>")),
    Wrong("weights_malicious", "test", "latest_net_G_A.pth", before=saved(G, {"a": Payload()})),
    Wrong("state_malicious", "go_on", STATE, before=saved(STATE, {"format": Payload()})),
    Wrong("state_truncated", "go_on", STATE, before=halved(STATE)),
    Wrong("state_foreign", "go_on",
          STATE, before=saved(STATE, {"epoch": 3, "model": {"w": torch.zeros(2)}})),
    Wrong("state_of_other_version", "go_on",
          f"{STATE} clock model schedule", before=saved(STATE, {"format": FORMAT})),
    Wrong("init_from_missing", "train --init_from nowhere", "--init_from checkpoints/nowhere G_A G_B"),
    Wrong("init_from_missing_keeps_run", "train --name run --init_from nowhere",
          "--init_from checkpoints/nowhere G_A G_B"),
    Wrong("init_from_other_kind", f"train --name attn {BIG} --init_from run", "latest_net_G_A.pth"),
    Wrong("init_from_truncated", "train --init_from run",
          "latest_net_G_B.pth", before=halved("checkpoints/run/latest_net_G_B.pth")),
    # ------------------------------------------------------------------ packages
    Wrong("no_dominate", "train --display html", "--display html dominate", before=without("dominate")),
    Wrong("no_dominate_going_on", "go_on --display html",
          "--display html dominate", before=without("dominate")),
    Wrong("no_dominate_in_test", "test", "dominate", before=without("dominate")),
    Wrong("no_tensorboard", "train --display tensorboard",
          "--display tensorboard", before=without("tensorboard")),
    Wrong("no_wandb", "train --display wandb", "--display wandb", before=without("wandb")),
    # ------------------------------------------------------------------ scripts
    Wrong("combine_no_folder", "scripts/combine_A_and_B.py --fold_A no --fold_B data/testB --fold_AB both",
          "--fold_A no"),
    Wrong("combine_no_partner", "scripts/combine_A_and_B.py --fold_A data/test --fold_B mine --fold_AB both",
          "mine/000.png", before=folder("mine")),
    Wrong("combine_flag_missing", "scripts/combine_A_and_B.py --fold_A data/testA",
          "--fold_B --fold_AB --help"),
    Wrong("download_unknown", "scripts/download_dataset.py horse2zebr", "horse2zebr horse2zebra"),
    Wrong("toy_size", "scripts/make_toy_dataset.py --out toy --size 31", "--size 31"),
    Wrong("port_taken", "scripts/visdom_server.py --port 18097", "18097 127.0.0.1", before=taken_port),
    # ------------------------------------------------------------------ faults while running
    Wrong("save_only_unknown", "test --save_only fake_C", "--save_only fake_C real_A fake_B"),
    Wrong("diverged", "go_on --lr 1e30", "4", code=1, running=True),
    Wrong("nan_in_loss", "mine p_nan",
          "G 1", code=1, running=True, before=plugin("p_nan", "def terms_G(self): return {'G': self.fake_B.sum() * float('nan')}")),
    Wrong("nan_in_gradient", "mine p_sqrt --max_dataset_size 1",
          "G", code=1, running=True, before=plugin("p_sqrt", "def terms_G(self): return {'G': (self.fake_B * 0).sum().sqrt()}")),
    Wrong("out_of_memory", "mine p_large",
          "--batch_size --crop_size --ngf --accumulate", code=1, running=True, before=plugin("p_large", "def forward(self): self.real_A.new_empty(2**58)")),
    Wrong("disk_full_at_start", "train", "checkpoints/new", code=1, running=True, before=full_disk()),
    Wrong("disk_full_at_state", "go_on", STATE, code=1, running=True, before=full_disk("latest_state")),
    Wrong("disk_full_at_weights", "go_on",
          "checkpoints/run/2_net_D_A.pth", code=1, running=True, before=full_disk("2_net_D_A")),
    Wrong("disk_full_in_test", "test",
          "results/run/test_latest/images", code=1, running=True, before=full_disk("images")),
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
    Wrong("disk_full_while_saving", "train", "checkpoints/new/latest_net_G_A.pth", code=1, running=True),
    Wrong("disk_full_under_output", "go_on", "disk", code=1, running=True),
]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with data/ of 2 small images a domain or class, and the trained runs `run`, `attn` and `digits`."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("world")
    for name in ("trainA", "trainB", "testA", "testB"):
        draw_images(root / "data" / name, 2)
    for name in ("train", "test"):
        draw_images(root / "data" / name, 2, size=(80, 36))
    for name in ("cat", "dog"):
        draw_images(root / "data" / "classes" / name, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        commands = [
            "train --name run --model cycle_gan",
            "train --name attn --model cycle_gan_attn",
            "noise cgan --name digits --dataroot data/classes",
        ]
        for command in commands:
            words = Wrong("", f"{command} --display loss_log", "").words()
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
        for name in {"run", "attn", "digits"} & set(row.words()):
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
