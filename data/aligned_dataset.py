"""Pairs: files [A|B] side by side in <phase>, or two folders <phase>A and <phase>B matched by name."""

import argparse
import random
from pathlib import Path

from PIL import Image

from data.base_dataset import Item, PixelDataset, channels_from, preprocess_from
from data.cache.prepared_images import prepared_from
from data.image_folder import make_dataset
from data.images import open_image
from util.errors import UserError


class AlignedDataset(PixelDataset):
    """Both images of a pair are cropped and flipped alike.

    The folder <phase> comes first; without it the images of <phase>A and <phase>B are paired by their
    names, sub-folders included and file endings not.
    """

    repeats = True

    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt)
        joint, folder_A, folder_B = (Path(opt.dataroot, opt.phase + suffix) for suffix in ("", "A", "B"))
        if not joint.is_dir() and folder_A.is_dir() and folder_B.is_dir():
            pairs = match_by_name(folder_A, folder_B)
        else:
            pairs = [(path, path) for path in make_dataset(joint)]
        self.pairs = pairs[: int(min(opt.max_dataset_size, len(pairs)))]
        self.A_channels, self.B_channels = channels_from(opt)
        self.preprocess = preprocess_from(opt)
        self.images = prepared_from(self, self.preprocess, self._make, len(self), each=2)

    def __len__(self) -> int:
        return len(self.pairs)

    def read(self, index: int, rng: random.Random) -> Item:
        A_path, B_path = self.pairs[index]
        A, B = self.images.cut(index, rng, name=A_path)
        return {"A": A, "B": B, "A_paths": A_path, "B_paths": B_path}

    def files_to_check(self) -> list[str]:
        return list(dict.fromkeys(path for pair in self.pairs for path in pair))

    def _make(self, index: int) -> list[Image.Image]:
        paths = self.pairs[index]
        pair = zip(self._open(*paths), paths, strict=True)
        return [self.preprocess.prepare(image, name=path) for image, path in pair]

    def _open(self, A_path: str, B_path: str) -> tuple[Image.Image, Image.Image]:
        A = open_image(A_path, self.A_channels)
        if A_path == B_path and self.A_channels == self.B_channels:
            B = A
        else:
            B = open_image(B_path, self.B_channels)
        if A_path == B_path:
            return left_half(A, name=A_path), right_half(B)
        if A.size != B.size:
            raise UserError(
                f"{A_path} has {A.width}x{A.height} pixels and {B_path} {B.width}x{B.height}; "
                "the two images of a pair must have the same size"
            )
        return A, B


def left_half(image: Image.Image, *, name: str) -> Image.Image:
    if image.width % 2:
        raise UserError(
            f"{name} is {image.width} pixels wide, an odd number; an aligned file holds A and B side by side, "
            "equally wide (scripts/combine_A_and_B.py makes such files)"
        )
    return image.crop((0, 0, image.width // 2, image.height))


def right_half(image: Image.Image) -> Image.Image:
    return image.crop((image.width // 2, 0, image.width, image.height))


def match_by_name(folder_A: Path, folder_B: Path) -> list[tuple[str, str]]:
    """The pairs (path in A, path in B) with equal names, in the order of A.

    Raises:
        UserError: a name is in one folder only, or twice in one.
    """
    by_name_A, by_name_B = _by_name(folder_A), _by_name(folder_B)
    alone = sorted(by_name_A.keys() ^ by_name_B.keys())
    if alone:
        paths = [by_name_A.get(name) or by_name_B[name] for name in alone]
        raise UserError(
            f"{len(alone)} of {len(by_name_A)} images in {folder_A} and {len(by_name_B)} in {folder_B} have no "
            f"partner of the same name, such as {', '.join(paths[:3])}; rename or remove them"
        )
    return [(path, by_name_B[name]) for name, path in by_name_A.items()]


def _by_name(folder: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in make_dataset(folder):
        name = Path(path).relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise UserError(
                f"{found[name]} and {path} have the same name, so neither can be paired; rename one"
            )
        found[name] = path
    return found
