"""Wrong uses: each ends with an exit code, one sentence with the way out, and nothing half-written."""

import errno
import hashlib
import importlib.util
import os
import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

import train
from util import checkpoint, errors

ROOT = Path(__file__).resolve().parent.parent
Patch = pytest.MonkeyPatch
Before = Callable[[Patch], None]

TINY = "--load_size 32 --crop_size 32 --netG resnet_6blocks --ngf 8 --ndf 8 --num_threads 0 --display console"
SHORT = "--n_epochs 1 --n_epochs_decay 0 --max_dataset_size 4"
# what a command of the table begins with
PREFIXES = {
    "train": f"train.py --dataroot data --name new {TINY} {SHORT}",
    "go_on": "train.py --dataroot data --name run --continue_train --n_epochs 2",
    "test": "test.py --dataroot data --name run",
    "train.py": "train.py",
    "test.py": "test.py",
}


@dataclass(frozen=True)
class Wrong:
    """A row: `says` must stand in the sentence; `before` prepares the current folder, or the program.

    `running`: it goes wrong after the run has begun, so that logs may have grown.
    """

    id: str
    command: str
    says: str
    code: int = 2
    before: Before | None = None
    running: bool = False


# ---------------------------------------------------------------------- what a row can prepare


def both(*steps: Before) -> Before:
    return lambda patch: [step(patch) for step in steps] and None


def file(path: str, content: str | bytes = "") -> Before:
    def write(patch: Patch) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(content.encode() if isinstance(content, str) else content)

    return write


def folder(path: str) -> Before:
    return lambda patch: Path(path).mkdir(parents=True)


def image(*paths: str, size: tuple[int, int] = (40, 36)) -> Before:
    return lambda patch: [noise(Path(path), size) for path in paths] and None


def halved(path: str) -> Before:
    def cut(patch: Patch) -> None:
        data = Path(path).read_bytes()
        Path(path).write_bytes(data[: len(data) // 2])

    return cut


def saved(path: str, value: object) -> Before:
    return lambda patch: torch.save(value, path)


def without(package: str) -> Before:
    return lambda patch: patch.setitem(sys.modules, package, None)


def edited(path: str, old: str, new: str) -> Before:
    def edit(patch: Patch) -> None:
        text = Path(path).read_text()
        assert old in text
        Path(path).write_text(text.replace(old, new))

    return edit


def noise(path: Path, size: tuple[int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def photos(root: str, **changed: str | bytes) -> Before:
    """trainA and trainB with two images each; `changed` writes trainA/<name>.jpg."""
    pictures = image(*(f"{root}/train{side}/{number}.jpg" for side in "AB" for number in range(2)))
    return both(pictures, *(file(f"{root}/trainA/{name}.jpg", text) for name, text in changed.items()))


class Payload:
    """What a malicious checkpoint holds: reading it would make the file `pwned`."""

    def __reduce__(self) -> tuple:
        return os.system, ("touch pwned",)


def full_disk(patch: Patch) -> None:
    def fail(*args: object, **settings: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    patch.setattr(os, "replace", fail)


def read_only(patch: Patch) -> None:
    patch.setattr(os, "access", lambda *args: False)


NAN_MODEL = """
from models.template_model import TemplateModel
class NanModel(TemplateModel):
    def terms_G(self):
        return {"G": super().terms_G()["G"] * float("nan")}
"""
plugin = "--plugin_path mine --model"

ROWS = [
    # ---------------------------------------------------------------- plugins
    Wrong("model_unknown", "train --model cycle_gn", "--model cycle_gn is unknown; did you mean cycle_gan?"),
    Wrong("model_unlike_any", "train --model xyz", "--model xyz is unknown; known: colorization, cycle_gan"),
    Wrong(
        "dataset_unknown",
        "train --dataset_mode unalined",
        "--dataset_mode unalined is unknown; did you mean unaligned?",
    ),
    Wrong(
        "model_test_in_training",
        "train --model test",
        "--model test makes images and cannot be trained: run test.py",
    ),
    Wrong(
        "plugin_syntax",
        f"train {plugin} p_syntax",
        "mine/p_syntax_model.py does not import: SyntaxError",
        before=file("mine/p_syntax_model.py", "def broken(:\n"),
    ),
    Wrong(
        "plugin_needs_package",
        f"train {plugin} p_needs",
        "mine/p_needs_model.py needs the package nowhere_found: pip install nowhere_found",
        before=file("mine/p_needs_model.py", "import nowhere_found.part\n"),
    ),
    Wrong(
        "plugin_needs_our_module",
        f"train {plugin} p_ours",
        "mine/p_ours_model.py imports models.netwerks, which does not exist",
        before=file("mine/p_ours_model.py", "import models.netwerks\n"),
    ),
    Wrong(
        "plugin_without_class",
        f"train {plugin} p_class",
        "mine/p_class_model.py must define a class PClassModel that subclasses BaseModel",
        before=file("mine/p_class_model.py", "class Other: pass\n"),
    ),
    Wrong(
        "plugin_without_base",
        f"train {plugin} p_base",
        "mine/p_base_model.py must define a class PBaseModel that subclasses BaseModel",
        before=file("mine/p_base_model.py", "class PBaseModel: pass\n"),
    ),
    Wrong(
        "plugin_unfinished",
        f"train {plugin} p_abstract",
        "PAbstractModel",
        before=file(
            "mine/p_abstract_model.py",
            "from models.base_model import BaseModel\nclass PAbstractModel(BaseModel):\n    def forward(self): pass\n",
        ),
    ),
    Wrong(
        "plugin_flag_taken",
        f"train {plugin} p_flag",
        "--lr",
        before=file(
            "mine/p_flag_model.py",
            "from models.template_model import TemplateModel\nclass PFlagModel(TemplateModel):\n    @staticmethod\n    def modify_commandline_options(parser, is_train):\n        parser.add_argument('--lr', type=float)\n        return parser\n",
        ),
    ),
    Wrong(
        "plugin_path_missing", "train --plugin_path nowhere", "--plugin_path nowhere: there is no such folder"
    ),
    # ---------------------------------------------------------------- flags
    Wrong(
        "flag_misspelt",
        "train --bach_size 4",
        "--bach_size is no flag of train.py with these plugins; did you mean --batch_size?",
    ),
    Wrong(
        "flag_of_another_model",
        "train --lambda_L1 10",
        "--lambda_L1 is no flag of train.py with these plugins",
    ),
    Wrong("flag_without_value", "train --lr", "--lr: expected one argument"),
    Wrong("word_without_flag", "train horse2zebra", "does not know what to do with horse2zebra"),
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
    Wrong("gpu_ids_words", "train --gpu_ids abc", "--gpu_ids: abc is not a list of GPU numbers"),
    Wrong(
        "no_cuda",
        "train --device cuda",
        "--device cuda: torch sees no CUDA device here; use --device cpu",
        before=lambda patch: patch.setattr(torch.cuda, "is_available", lambda: False),
    ),
    Wrong(
        "no_cuda_in_test",
        "test --device cuda",
        "--device cuda: torch sees no CUDA device here; use --device cpu",
        before=lambda patch: patch.setattr(torch.cuda, "is_available", lambda: False),
    ),
    Wrong("crop_larger_than_load", "train --crop_size 64", "--load_size 32 is smaller than --crop_size 64"),
    Wrong(
        "accumulate_no_divisor",
        "train --batch_size 4 --accumulate 3",
        "--accumulate 3 must divide --batch_size 4",
    ),
    Wrong("no_epochs", "train --n_epochs 0", "--n_epochs and --n_epochs_decay are both 0"),
    Wrong("epoch_count_beyond", "train --epoch_count 9", "--epoch_count 9 lies beyond the last epoch, 1"),
    Wrong(
        "wgangp_and_spectral",
        "train --model cycle_gan_attn --gan_mode wgangp --spectral D",
        "leave out --spectral",
    ),
    Wrong("num_test_zero", "test --num_test 0", "--num_test: 0 must be at least 1"),
    Wrong("display_unknown", "train --display consle", "--display consle: did you mean console?"),
    Wrong("suffix_unknown", "train --suffix {netX}", "--suffix {netX} names an option that does not exist"),
    Wrong("suffix_attribute", "train --suffix {netG.x}", "--suffix {netG.x}"),
    # ---------------------------------------------------------------- names and folders
    Wrong("name_climbs", "train --name ../../x", "--name ../../x must be a plain name inside ./checkpoints"),
    Wrong("name_absolute", "train --name /abs", "--name /abs must be a plain name"),
    Wrong("name_empty", "train --name=", "must be a plain name"),
    Wrong("name_dot", "train --name .", "--name . must be a plain name"),
    Wrong("name_too_long", f"train --name {'x' * 300}", "x must be a plain name"),
    Wrong("suffix_climbs", "train --name a/.. --suffix {phase}/../../..", "must be a plain name"),
    Wrong(
        "name_is_file",
        "train",
        "--name new: checkpoints/new is a file, not a folder",
        before=file("checkpoints/new", "mine"),
    ),
    Wrong(
        "checkpoints_is_file",
        "train --checkpoints_dir some.txt",
        "--checkpoints_dir some.txt: some.txt is a file, not a folder",
        before=file("some.txt"),
    ),
    Wrong(
        "results_is_file",
        "test --results_dir some.txt/x",
        "--results_dir some.txt/x: some.txt is a file, not a folder",
        before=file("some.txt"),
    ),
    Wrong("no_permission", "train", "no permission to write in", before=read_only),
    Wrong("phase_climbs", "test --phase ../data/test", "--phase ../data/test"),
    Wrong("epoch_climbs", "test --epoch ../run/latest", "--epoch ../run/latest"),
    # ---------------------------------------------------------------- files of options
    Wrong(
        "config_missing",
        "train --config no.yaml",
        "--config no.yaml cannot be read: No such file or directory",
    ),
    Wrong(
        "config_folder",
        "train --config here",
        "--config here cannot be read: Is a directory",
        before=folder("here"),
    ),
    Wrong(
        "config_not_yaml",
        "train --config c.yaml",
        "--config c.yaml is not valid YAML",
        before=file("c.yaml", "a: [1\nb: 2"),
    ),
    Wrong(
        "config_not_text",
        "train --config c.yaml",
        "--config c.yaml is not",
        before=file("c.yaml", b"\xff\xfe\x00name: x"),
    ),
    Wrong(
        "config_unknown_key",
        "train --config c.yaml",
        "--config c.yaml: --bach_size is no flag of train.py with these plugins; did you mean --batch_size?",
        before=file("c.yaml", "bach_size: 4"),
    ),
    Wrong(
        "config_nested",
        "train --config c.yaml",
        "--config c.yaml must hold lines of the form name: value",
        before=file("c.yaml", "data:\n  batch_size: 4"),
    ),
    Wrong(
        "config_list",
        "train --config c.yaml",
        "--config c.yaml must hold lines of the form name: value",
        before=file("c.yaml", "- batch_size\n- 4"),
    ),
    Wrong(
        "config_wrong_type",
        "train --config c.yaml",
        "--config c.yaml: --pool_size: many is not a whole number",
        before=file("c.yaml", "pool_size: many"),
    ),
    Wrong(
        "config_bad_choice",
        "train --config c.yaml",
        "--config c.yaml: --amp: invalid choice: 'fp8'",
        before=file("c.yaml", "amp: fp8"),
    ),
    Wrong(
        "config_without_yaml",
        "train --config c.yaml",
        "--config needs the package pyyaml: pip install pyyaml",
        before=both(file("c.yaml", "lr: 1"), without("yaml")),
    ),
    Wrong(
        "opt_json_damaged",
        "test",
        "checkpoints/run/opt.json is damaged: remove it",
        before=halved("checkpoints/run/opt.json"),
    ),
    Wrong(
        "opt_json_list",
        "test",
        "checkpoints/run/opt.json is damaged: remove it",
        before=file("checkpoints/run/opt.json", "[1]"),
    ),
    Wrong(
        "opt_json_value",
        "test",
        "checkpoints/run/opt.json: --ngf: many is not a whole number",
        before=edited("checkpoints/run/opt.json", '"ngf": 8', '"ngf": "many"'),
    ),
    # ---------------------------------------------------------------- data
    Wrong(
        "dataroot_not_given", "train.py --model cycle_gan", "--dataroot is missing: name the folder of images"
    ),
    Wrong(
        "dataroot_missing",
        "train --dataroot nowhere",
        "there is no folder nowhere/trainA, nor nowhere; check --dataroot",
    ),
    Wrong(
        "dataroot_empty",
        "train --dataroot mine",
        "there is no folder mine/trainA; found in mine instead: nothing",
        before=folder("mine"),
    ),
    Wrong(
        "dataroot_is_trainA",
        "train --dataroot data/trainA",
        "data/trainA holds images itself; --dataroot should be the folder around it",
    ),
    Wrong(
        "dataroot_is_file",
        "train --dataroot data/trainA/0.png",
        "data/trainA/0.png is a file; --dataroot names a folder",
    ),
    Wrong(
        "dataroot_is_file_single",
        "test --model test --model_suffix _A --dataroot data/trainA/0.png",
        "data/trainA/0.png is a file; --dataroot names a folder",
    ),
    Wrong(
        "phase_missing",
        "train --phase val",
        "there is no folder data/valA; found in data instead: test, testA",
    ),
    Wrong(
        "no_images",
        "train --dataroot mine",
        "no image in mine/trainA; there is 1 files, and mine holds trainA",
        before=file("mine/trainA/notes.txt"),
    ),
    Wrong(
        "image_garbage",
        "train --dataroot mine",
        "mine/trainA/x.jpg cannot be read as an image (no known image format); repair or remove it",
        before=photos("mine", x="no image"),
        running=True,
    ),
    Wrong(
        "image_garbage_checked",
        "train --dataroot mine --check_data",
        "--check_data found 1 broken: file 3 of 5: mine/trainA/x.jpg cannot be read",
        before=photos("mine", x="no image"),
    ),
    Wrong(
        "image_garbage_worker",
        "train --dataroot mine --num_threads 2",
        "mine/trainA/x.jpg cannot be read as an image",
        before=photos("mine", x="no image"),
        running=True,
    ),
    Wrong(
        "image_truncated",
        "train --dataroot mine",
        "mine/trainA/1.jpg cannot be read as an image (",
        before=both(photos("mine"), halved("mine/trainA/1.jpg")),
        running=True,
    ),
    Wrong(
        "image_truncated_checked",
        "train --dataroot mine --check_data",
        "file 2 of 4: mine/trainA/1.jpg cannot be read",
        before=both(photos("mine"), halved("mine/trainA/1.jpg")),
    ),
    Wrong(
        "image_truncated_in_test",
        "test --model test --model_suffix _A --dataroot mine",
        "mine/1.jpg cannot be read",
        before=both(image("mine/1.jpg"), halved("mine/1.jpg")),
        running=True,
    ),
    Wrong(
        "two_channels",
        "train --input_nc 2 --output_nc 2",
        "--input_nc 2: image files are read with 1 (grey), 3 (RGB) or 4 (RGBA) channels",
    ),
    Wrong("identity_of_unequal", "train --input_nc 1", "use --lambda_identity 0"),
    Wrong(
        "batch_beyond_set", "train --batch_size 8", "the data set has 4 images, too few for --batch_size 8"
    ),
    Wrong(
        "sizes_in_one_batch",
        "train --dataroot mine --preprocess none --batch_size 2",
        "images of one batch differ in size",
        before=both(photos("mine"), image("mine/trainA/0.jpg", "mine/trainB/0.jpg", size=(48, 48))),
        running=True,
    ),
    Wrong(
        "image_below_crop",
        "train --preprocess crop --crop_size 38",
        "less than --crop_size 38; lower --crop_size",
        running=True,
    ),
    Wrong(
        "aligned_odd_width",
        "train --model pix2pix --netG resnet_6blocks --dataroot mine",
        "mine/train/1.png is 41 pixels wide, an odd number",
        before=image("mine/train/1.png", size=(41, 36)),
        running=True,
    ),
    Wrong(
        "aligned_no_folder",
        "train --model pix2pix --netG resnet_6blocks --dataroot mine",
        "there is no folder mine/train; found in mine instead: trainA",
        before=image("mine/trainA/1.png"),
    ),
    Wrong(
        "aligned_names_differ",
        "train --model pix2pix --netG resnet_6blocks --dataroot mine",
        "have no partner of the same name, such as mine/trainA/1.png",
        before=image("mine/trainA/1.png", "mine/trainB/2.png"),
    ),
    Wrong(
        "aligned_sizes_differ",
        "train --model pix2pix --netG resnet_6blocks --dataroot mine",
        "the two images of a pair must have the same size",
        before=both(image("mine/trainA/1.png"), image("mine/trainB/1.png", size=(48, 36))),
        running=True,
    ),
    Wrong(
        "data_set_without_B",
        "train --dataset_mode single --dataroot data/trainA",
        "--dataset_mode single",
        running=True,
    ),
    Wrong(
        "colour_model_on_pairs",
        "train --model colorization --dataset_mode aligned --netG resnet_6blocks",
        "--model colorization",
    ),
    Wrong("lab_into_cycle_gan", "train --dataset_mode colorization", "use --lambda_identity 0"),
    # ---------------------------------------------------------------- nets
    Wrong(
        "netG_unknown",
        "train --netG resnet_7blocks",
        "--netG resnet_7blocks is unknown; did you mean resnet_9blocks?",
    ),
    Wrong("netD_unknown", "train --netD patch", "--netD patch is unknown; known: basic, n_layers, pixel"),
    Wrong("norm_unknown", "train --norm layer", "--norm layer is unknown"),
    Wrong("init_unknown", "train --init_type he", "--init_type he is unknown"),
    Wrong(
        "unet_128_size",
        "train --netG unet_128",
        "--netG unet_128 needs images whose sides are multiples of 128, not 32 pixels: use --load_size 128 --crop_size 128",
    ),
    Wrong(
        "unet_256_size",
        "train --netG unet_256 --load_size 300 --crop_size 300",
        "use --load_size 256 --crop_size 256, or --netG resnet_9blocks",
    ),
    Wrong(
        "unet_odd_images",
        "train --netG unet_128 --preprocess none",
        "an image of 40 x 36 pixels reached a U-Net whose sides must be multiples of 128",
        running=True,
    ),
    Wrong(
        "too_small_for_netD",
        "train --load_size 16 --crop_size 16",
        "--netD basic needs images of at least 24 pixels, not 16",
    ),
    Wrong(
        "too_small_for_n_layers",
        "train --netD n_layers --n_layers_D 5",
        "--netD n_layers needs images of at least 96 pixels, not 32",
    ),
    Wrong(
        "too_small_for_resnet",
        "train --load_size 4 --crop_size 4 --netD pixel",
        "--netG resnet_6blocks needs images of at least 8 pixels, not 4",
    ),
    Wrong(
        "image_too_small_for_netD",
        "train --preprocess none --dataroot mine",
        "16 x 16 pixels",
        before=image("mine/trainA/1.png", "mine/trainB/1.png", size=(16, 16)),
        running=True,
    ),
    Wrong(
        "image_too_small_for_resnet",
        "train --preprocess none --netD pixel --dataroot mine",
        "4 x 4 pixels",
        before=image("mine/trainA/1.png", "mine/trainB/1.png", size=(4, 4)),
        running=True,
    ),
    Wrong(
        "attention_place_unknown",
        "train --model cycle_gan_attn --attn_G_pos bottleneck",
        "--attn_G_pos bottleneck is unknown; known: down, mid, trunk, none",
    ),
    Wrong(
        "attention_in_unet",
        "train --model cycle_gan_attn --netG unet_128 --load_size 128 --crop_size 128",
        "--netG unet_128 has no place for attention",
    ),
    Wrong(
        "attention_in_pixel",
        "train --model cycle_gan_attn --netD pixel",
        "--netD pixel has no place for attention",
    ),
    Wrong(
        "attention_too_deep",
        "train --model cycle_gan_attn --netD n_layers --n_layers_D 2",
        "--attn_D stride8",
    ),
    Wrong("attention_too_narrow", "train --model cycle_gan_attn --ngf 1", "--ngf 1"),
    Wrong("nets_beyond_memory", "train --ngf 2000000", "memory", code=1),
    # ---------------------------------------------------------------- checkpoints
    Wrong(
        "no_checkpoint",
        "test --name nothing",
        "there is no checkpoints/nothing/latest_net_G.pth: the folder holds no weights; check --name",
    ),
    Wrong(
        "epoch_missing",
        "test --epoch 7",
        "there is no checkpoints/run/7_net_G_A.pth: --epoch can be 1, latest, with nets D_A, D_B, G_A, G_B",
    ),
    Wrong(
        "model_suffix_missing",
        "test --model test --dataroot data/testA",
        "there is no checkpoints/run/latest_net_G.pth: --epoch can be 1, latest, with nets",
    ),
    Wrong(
        "go_on_with_nothing",
        "go_on --name nothing",
        "--continue_train: checkpoints/nothing holds no latest run; check --name",
    ),
    Wrong("go_on_epoch_missing", "go_on --epoch 7", "--continue_train: checkpoints/run holds no 7 run"),
    Wrong("other_ngf", "test --ngf 16", "latest_net_G_A.pth does not fit net G_A: 16 have other shapes"),
    Wrong("other_norm", "test --norm batch", "it was trained with --norm instance"),
    Wrong("other_dropout", "test --no_dropout false", "dropout moves this layer: add or remove --no_dropout"),
    Wrong("other_blocks", "test --netG resnet_9blocks", "it has 6 residual blocks, this net 9: check --netG"),
    Wrong(
        "other_kind",
        "test --netG unet_128 --crop_size 128",
        "it is the file of another kind of network, or of another project",
    ),
    Wrong("other_channels", "test --input_nc 1 --output_nc 1", "check --input_nc and --output_nc"),
    Wrong(
        "attention_expected",
        "test --model cycle_gan_attn",
        "it has no attention: load it with --init_from, or use --model cycle_gan",
    ),
    Wrong(
        "attention_unexpected",
        "test --name attn --model cycle_gan",
        "it has attention: use --model cycle_gan_attn",
    ),
    Wrong("go_on_other_ngf", "go_on --ngf 16", "checkpoints/run/latest_state.pt does not fit these options"),
    Wrong(
        "go_on_other_model",
        "go_on --model cycle_gan_attn",
        "checkpoints/run/latest_state.pt does not fit these options",
    ),
    Wrong("go_on_other_batch", "go_on --batch_size 3", "", before=None),
    Wrong(
        "foreign_weights",
        "test",
        "it is the file of another kind of network, or of another project",
        before=saved("checkpoints/run/latest_net_G_A.pth", {"layer.weight": torch.zeros(2)}),
    ),
    Wrong(
        "weights_no_dict",
        "test",
        "latest_net_G_A.pth is not the weights of one network",
        before=saved("checkpoints/run/latest_net_G_A.pth", [torch.zeros(2)]),
    ),
    Wrong(
        "weights_of_all_nets",
        "test",
        "latest_net_G_A.pth is not the weights of one network",
        before=saved("checkpoints/run/latest_net_G_A.pth", {"G": {"w": torch.zeros(2)}}),
    ),
    Wrong(
        "weights_truncated",
        "test",
        "latest_net_G_A.pth is damaged or cut short",
        before=halved("checkpoints/run/latest_net_G_A.pth"),
    ),
    Wrong(
        "weights_empty",
        "test",
        "latest_net_G_A.pth is damaged or cut short",
        before=file("checkpoints/run/latest_net_G_A.pth"),
    ),
    Wrong(
        "weights_text",
        "test",
        "latest_net_G_A.pth is no checkpoint, or is damaged",
        before=file("checkpoints/run/latest_net_G_A.pth", "hello, no weights"),
    ),
    Wrong(
        "weights_web_page",
        "test",
        "latest_net_G_A.pth is no checkpoint, or is damaged",
        before=file("checkpoints/run/latest_net_G_A.pth", "<!DOCTYPE html><html>Not found</html>"),
    ),
    Wrong(
        "weights_malicious",
        "test",
        "latest_net_G_A.pth holds more than weights, and reading it would run its code: refused",
        before=saved("checkpoints/run/latest_net_G_A.pth", {"a": Payload()}),
    ),
    Wrong(
        "state_malicious",
        "go_on",
        "latest_state.pt holds more than weights, and reading it would run its code: refused",
        before=saved("checkpoints/run/latest_state.pt", {"format": Payload()}),
    ),
    Wrong(
        "state_truncated",
        "go_on",
        "latest_state.pt is damaged or cut short",
        before=halved("checkpoints/run/latest_state.pt"),
    ),
    Wrong(
        "state_foreign",
        "go_on",
        "latest_state.pt was not written by this project",
        before=saved("checkpoints/run/latest_state.pt", {"epoch": 3, "model": {"w": torch.zeros(2)}}),
    ),
    Wrong(
        "state_hollow",
        "go_on",
        "latest_state.pt",
        before=saved("checkpoints/run/latest_state.pt", {"format": checkpoint.FORMAT}),
    ),
    Wrong(
        "init_from_missing",
        "train --init_from nowhere",
        "--init_from checkpoints/nowhere holds no latest_net_*.pth for G_A, G_B",
    ),
    Wrong(
        "init_from_itself",
        "train --name run --init_from nowhere",
        "--init_from checkpoints/nowhere holds no latest_net_*.pth",
    ),
    Wrong(
        "init_from_other",
        "train --name attn --netG unet_128 --load_size 128 --crop_size 128 --init_from run",
        "shares no weights with the net it is meant for",
    ),
    Wrong(
        "init_from_truncated",
        "train --init_from run",
        "latest_net_G_B.pth is damaged or cut short",
        before=halved("checkpoints/run/latest_net_G_B.pth"),
    ),
    # ---------------------------------------------------------------- packages
    Wrong(
        "no_dominate", "train --display html", "dominate: pip install dominate", before=without("dominate")
    ),
    Wrong(
        "no_dominate_going_on",
        "go_on --display html",
        "dominate: pip install dominate",
        before=without("dominate"),
    ),
    Wrong("no_dominate_in_test", "test", "dominate: pip install dominate", before=without("dominate")),
    Wrong(
        "no_tensorboard",
        "train --display tensorboard",
        "tensorboard: pip install tensorboard",
        before=without("tensorboard"),
    ),
    Wrong("no_wandb", "train --display wandb", "wandb: pip install wandb", before=without("wandb")),
    # ---------------------------------------------------------------- faults
    Wrong(
        "save_only_unknown",
        "test --save_only fake_C",
        "--save_only fake_C: the model shows no such image; it shows real_A, fake_B",
    ),
    Wrong("diverged", "go_on --lr 1e30", "is not a finite number", code=1, running=True),
    Wrong(
        "nan_from_plugin",
        f"train {plugin} nan",
        "the loss G is not a finite number at step 1",
        code=1,
        running=True,
        before=file("mine/nan_model.py", NAN_MODEL),
    ),
    Wrong("disk_full", "train", "cannot write", code=1, running=True, before=full_disk),
    Wrong(
        "disk_full_going_on",
        "go_on",
        "No space left on device; free some space",
        code=1,
        running=True,
        before=full_disk,
    ),
    Wrong(
        "disk_full_in_test",
        "test",
        "No space left on device; free some space",
        code=1,
        running=True,
        before=full_disk,
    ),
]


# ---------------------------------------------------------------------- how a row is tried


def load_test_program() -> ModuleType:
    """test.py, which the standard library's package of that name would hide from an import."""
    spec = importlib.util.spec_from_file_location("zebrawood_test", ROOT / "test.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PROGRAMS = {"train.py": train.main, "test.py": load_test_program().main}


def words(command: str) -> list[str]:
    prefix, _, rest = command.partition(" ")
    return shlex.split(f"{PREFIXES[prefix]} {rest}")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data/ of 4 small images a domain, and the trained runs `run` and `attn`."""
    root = tmp_path_factory.mktemp("world")
    for side in ("trainA", "trainB", "testA", "testB"):
        for number in range(4):
            noise(root / "data" / side / f"{number}.png", (40, 36))
    for side in ("train", "test"):
        noise(root / "data" / side / "0.png", (80, 36))
        noise(root / "data" / side / "1.png", (80, 36))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for name, model in (("run", "cycle_gan"), ("attn", "cycle_gan_attn")):
            argv = words(f"train --name {name} --model {model} --max_dataset_size 1 --display loss_log")
            patch.setattr(sys, "argv", argv)
            assert train.main() == 0
    yield root
    torch.set_num_threads(threads)


@pytest.fixture
def desk(world: Path, tmp_path: Path, monkeypatch: Patch) -> Path:
    """A fresh current folder with the data and, under checkpoints/, what fill() puts there."""
    (tmp_path / "data").symlink_to(world / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def fill(row: Wrong, world: Path) -> None:
    for name in {"run", "attn"} & set(words(row.command)):
        shutil.copytree(world / "checkpoints" / name, Path("checkpoints") / name)


def snapshot(folder: Path) -> dict[str, str]:
    """path -> digest of each file, '' of each folder; links are not followed."""
    return {
        str(path.relative_to(folder)): hashlib.sha1(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(folder.rglob("*"))
        if path.suffix != ".pyc" and path.name != "__pycache__"
    }


def judge(row: Wrong, code: int, err: str, before: dict[str, str], after: dict[str, str]) -> None:
    lines = [line for line in err.splitlines() if not line.startswith("warning: ")]
    assert "Traceback" not in err
    assert len(lines) == 1 and lines[0].startswith("error: "), err
    assert row.says in lines[0]
    assert code == row.code
    if not row.running:
        assert after == before
    states = {digest for path, digest in before.items() if path.endswith((".pt", ".pth"))}
    assert states <= set(after.values())
    assert not [path for path in after if path.endswith(".tmp")]
    assert not Path("pwned").exists()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_wrong_use(
    row: Wrong, world: Path, desk: Path, monkeypatch: Patch, capfd: pytest.CaptureFixture[str]
) -> None:
    fill(row, world)
    if row.before:
        row.before(monkeypatch)
    before = snapshot(desk)
    argv = words(row.command)
    monkeypatch.setattr(sys, "argv", argv)
    capfd.readouterr()
    code = errors.run(PROGRAMS[argv[0]])
    judge(row, code, capfd.readouterr().err, before, snapshot(desk))
