"""Data sets: plugins found by name, read by several processes, in an order that depends on seed and epoch only."""

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from util import plugins

if TYPE_CHECKING:
    from data.loader import Loader


def find_dataset_using_name(name: str, plugin_path: Sequence[str] = ()) -> type:
    """The class of data/<name>_dataset.py, or of that file in a folder of `plugin_path`.

    Raises:
        UserError: there is no such dataset.
    """
    return plugins.find("dataset", name, plugin_path)


def get_option_setter(name: str, plugin_path: Sequence[str] = ()) -> Callable:
    """The static method of that dataset that adds its flags to a parser."""
    return find_dataset_using_name(name, plugin_path).modify_commandline_options  # type: ignore[attr-defined]


def create_dataset(opt: argparse.Namespace) -> "Loader":
    """The dataset of --dataset_mode in a Loader; training shuffles and drops an incomplete batch, testing does not.

    Raises:
        UserError: there is no such dataset, it has no images, or --check_data finds a broken one.
    """
    # imported here because they import torch, which --help does not need
    from data.images import check_images
    from data.loader import Loader
    from util import distributed

    dataset = find_dataset_using_name(opt.dataset_mode, opt.plugin_path)(opt)
    if opt.check_data:
        check_images(dataset.files_to_check())
    return Loader(
        dataset,
        batch_size=opt.batch_size,
        num_threads=opt.num_threads,
        seed=opt.seed,
        shuffle=opt.isTrain and not opt.serial_batches,
        drop_last=opt.isTrain,
        max_images=opt.max_dataset_size,
        rank=distributed.rank(),
        world=distributed.world_size(),
        device=distributed.pick_device(opt.device, opt.gpu_ids),
    )
