"""Pairs of images: files [A|B] side by side in <phase>, or two folders <phase>A and <phase>B matched by name."""

import os
import random
from argparse import Namespace
from pathlib import Path

from PIL import Image

from data.base_dataset import Item, PixelDataset, channels_from, preprocess_from
from data.cache.prepared_images import PreparedImages
from data.image_folder import make_dataset
from data.images import open_image
from util.errors import UserError


class AlignedDataset(PixelDataset):
    """Pairs (A, B) that are cropped and flipped alike.

    The folder <phase> is used if it exists. Otherwise the images of <phase>A and <phase>B are paired by their
    names, which include sub-folders but not file extensions.
    """

    cacheable = True

    def __init__(self, opt: Namespace) -> None:
        super().__init__(opt)
        joint, folder_A, folder_B = (Path(opt.dataroot, opt.phase + suffix) for suffix in ("", "A", "B"))
        if not os.path.isdir(joint) and os.path.isdir(folder_A) and os.path.isdir(folder_B):
            pairs = match_by_name(folder_A, folder_B)
        else:
            pairs = [(path, path) for path in make_dataset(joint)]
        self.pairs = pairs[: int(min(opt.max_dataset_size, len(pairs)))]
        self.A_channels, self.B_channels = channels_from(opt)
        self.images = PreparedImages(
            self, preprocess_from(opt), self._load, self._name, len(self), images_per_entry=2
        )

    def __len__(self) -> int:
        return len(self.pairs)

    def read(self, index: int, rng: random.Random) -> Item:
        A_path, B_path = self.pairs[index]
        A, B = self.images.crop(index, rng)
        return {"A": A, "B": B, "A_paths": A_path, "B_paths": B_path}

    def files_to_check(self) -> list[str]:
        return list(dict.fromkeys(path for pair in self.pairs for path in pair))

    def _name(self, index: int) -> str:
        return self.pairs[index][0]

    def _load(self, index: int) -> list[Image.Image]:
        A_path, B_path = self.pairs[index]
        A = open_image(A_path, self.A_channels)
        if A_path == B_path:
            B = A if self.A_channels == self.B_channels else open_image(B_path, self.B_channels)
            return halves(A, B, name=A_path)
        B = open_image(B_path, self.B_channels)
        if A.size != B.size:
            raise UserError(
                f"{A_path} has {A.width}x{A.height} pixels, but {B_path} has {B.width}x{B.height}; "
                "the two images of a pair must have the same size"
            )
        return [A, B]


def halves(A: Image.Image, B: Image.Image, *, name: str) -> list[Image.Image]:
    """The left half of `A` and the right half of `B`, which are the same file."""
    width, height = A.size
    if width % 2:
        raise UserError(
            f"{name} is {width} pixels wide, an odd number; an aligned file contains A and B side by side with equal "
            "widths (scripts/combine_A_and_B.py creates such files)"
        )
    return [A.crop((0, 0, width // 2, height)), B.crop((width // 2, 0, width, height))]


def match_by_name(folder_A: Path, folder_B: Path) -> list[tuple[str, str]]:
    """The pairs (path in A, path in B) in the order of A; raises UserError unless each name exists once in both."""
    by_name_A, by_name_B = _by_name(folder_A), _by_name(folder_B)
    unmatched = sorted(by_name_A.keys() ^ by_name_B.keys())
    if unmatched:
        paths = [by_name_A.get(name) or by_name_B[name] for name in unmatched[:3]]
        raise UserError(
            f"{folder_A} has {len(by_name_A)} images and {folder_B} has {len(by_name_B)}, and {len(unmatched)} of all "
            f"have no partner with the same name, such as {', '.join(paths)}; rename or remove them"
        )
    return [(path, by_name_B[name]) for name, path in by_name_A.items()]


def _by_name(folder: Path) -> dict[str, str]:
    paths: dict[str, str] = {}
    for path in make_dataset(folder):
        name = Path(path).relative_to(folder).with_suffix("").as_posix()
        if name in paths:
            raise UserError(
                f"{paths[name]} and {path} differ only in their extensions, so neither can be paired; rename one"
            )
        paths[name] = path
    return paths
