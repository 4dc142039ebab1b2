"""The image-to-image data sets: which files they read, how they pair them, and what they reject."""

import argparse
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import data_options, refused
from PIL import Image

from data import create_dataset, find_dataset_using_name, get_option_setter
from data.loading import workers
from data.transforms import to_tensor

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def options(root: Path, **changed: object) -> argparse.Namespace:
    return data_options(root, **({"mode": "unaligned", "preprocess": "none"} | changed))


def colour(path: Path, value: int, size: tuple[int, int] = (8, 8)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, 2 * value % 256, 255 - value)).save(path)
    return path


def noise(path: Path, size: tuple[int, int] = (24, 12)) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(str(path))).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.fixture
def unpaired(tmp_path: Path) -> Path:
    for phase in ("train", "test"):
        for number in range(3):
            colour(tmp_path / f"{phase}A" / f"a{number}.png", number)
        for number in range(5):
            colour(tmp_path / f"{phase}B" / f"b{number}.png", 100 + number)
    return tmp_path


def names(batches: object, key: str) -> list[str]:
    return [Path(path).name for batch in batches for path in batch[key]]


def test_unaligned_repeats_the_smaller_folder_and_draws_b(unpaired: Path) -> None:
    loader = create_dataset(options(unpaired))
    assert len(loader) == 5
    batches = [batch for epoch in range(1, 9) for batch in loader.epoch(epoch)]
    assert sorted(names(batches[:5], "A_paths")) == ["a0.png", "a0.png", "a1.png", "a1.png", "a2.png"]
    pairs = set(zip(names(batches, "A_paths"), names(batches, "B_paths"), strict=True))
    assert len(pairs) > 10 and set(batches[0]) == {"A", "B", "A_paths", "B_paths"}
    batch = batches[0]
    assert torch.equal(batch["A"][0], to_tensor(Image.open(batch["A_paths"][0])))


@pytest.mark.parametrize("changed", [{"serial_batches": True}, {"phase": "test", "isTrain": False}])
def test_unaligned_does_not_draw_b_with_serial_batches_or_in_testing(unpaired: Path, changed: dict) -> None:
    loader = create_dataset(options(unpaired, **changed))
    assert names(loader, "A_paths") == ["a0.png", "a1.png", "a2.png", "a0.png", "a1.png"]
    assert names(loader, "B_paths") == [f"b{number}.png" for number in range(5)]


def test_unaligned_crops_and_flips_a_and_b_independently(tmp_path: Path) -> None:
    for side in "AB":
        noise(tmp_path / f"train{side}" / "1.png", (12, 12))
    (tmp_path / "trainB" / "1.png").write_bytes((tmp_path / "trainA" / "1.png").read_bytes())
    loader = create_dataset(options(tmp_path, preprocess="crop", no_flip=False))
    same = [torch.equal(batch["A"], batch["B"]) for epoch in range(12) for batch in loader.epoch(epoch)]
    assert not all(same)


def test_max_dataset_size_counts_per_folder(unpaired: Path) -> None:
    loader = create_dataset(options(unpaired, max_dataset_size=2))
    assert len(loader) == 2
    drawn = [batch for epoch in range(20) for batch in loader.epoch(epoch)]
    assert set(names(drawn, "B_paths")) == {"b0.png", "b1.png"}


@pytest.mark.parametrize(("direction", "channels"), [("AtoB", (1, 3)), ("BtoA", (3, 1))])
@pytest.mark.parametrize("mode", ["unaligned", "aligned"])
def test_direction_determines_the_channels(
    unpaired: Path, mode: str, direction: str, channels: tuple[int, int]
) -> None:
    noise(unpaired / "train" / "1.png")
    opt = options(unpaired, dataset_mode=mode, direction=direction, input_nc=1, output_nc=3)
    batch = next(iter(create_dataset(opt)))
    assert (batch["A"].shape[1], batch["B"].shape[1]) == channels


def test_aligned_splits_in_the_middle_and_crops_both_alike(tmp_path: Path) -> None:
    pixels = noise(tmp_path / "train" / "1.png", (24, 12))
    whole = create_dataset(options(tmp_path, dataset_mode="aligned"))
    batch = next(iter(whole))
    assert torch.equal(batch["A"][0], to_tensor(Image.fromarray(pixels[:, :12])))
    assert torch.equal(batch["B"][0], to_tensor(Image.fromarray(pixels[:, 12:])))
    assert batch["A_paths"] == batch["B_paths"]
    half = noise(tmp_path / "train" / "1.png", (12, 12))
    Image.fromarray(np.concatenate([half, half], axis=1)).save(tmp_path / "train" / "1.png")
    loader = create_dataset(options(tmp_path, dataset_mode="aligned", preprocess="crop", no_flip=False))
    drawn = [batch for epoch in range(8) for batch in loader.epoch(epoch)]
    assert all(torch.equal(batch["A"], batch["B"]) for batch in drawn)
    assert len({batch["A"].sum().item() for batch in drawn}) > 2


def test_aligned_pairs_two_folders_by_name(tmp_path: Path) -> None:
    for name, value in {"x/1": 1, "2": 2, "3": 3}.items():
        colour(tmp_path / "trainA" / f"{name}.png", value)
        colour(tmp_path / "trainB" / f"{name}.bmp", value)
    opt = options(tmp_path, dataset_mode="aligned", max_dataset_size=2, input_nc=1)
    loader = create_dataset(opt)
    assert len(loader) == 2
    pairs = zip(names(loader, "A_paths"), names(loader, "B_paths"), strict=True)
    assert sorted(pairs) == [("2.png", "2.bmp"), ("3.png", "3.bmp")]
    assert len(loader.dataset.files_to_check()) == 4


def test_aligned_rejects_two_images_of_one_name(tmp_path: Path) -> None:
    for name in ("trainA/1.png", "trainB/1.png", "trainA/1.bmp"):
        colour(tmp_path / name, 1)
    with refused(tmp_path / "trainA" / "1.bmp", tmp_path / "trainA" / "1.png"):
        create_dataset(options(tmp_path, dataset_mode="aligned"))


def test_single_reads_the_folder_and_its_sub_folders(unpaired: Path) -> None:
    opt = options(unpaired / "testA", dataset_mode="single", isTrain=False, phase="test", direction="BtoA")
    colour(unpaired / "testA" / "deep" / "a9.png", 9)
    opt.input_nc, opt.output_nc = 1, 3
    batches = list(create_dataset(opt))
    assert names(batches, "A_paths") == ["a0.png", "a1.png", "a2.png", "a9.png"]
    assert set(batches[0]) == {"A", "A_paths"} and batches[0]["A"].shape == (1, 1, 8, 8)


def test_colorization_returns_lightness_and_colour(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    Image.new("RGB", (8, 8), (255, 0, 0)).save(tmp_path / "train" / "1.png")
    parser = get_option_setter("colorization")(argparse.ArgumentParser(), True)
    defaults = {name: parser.get_default(name) for name in ("input_nc", "output_nc", "direction")}
    assert defaults == {"input_nc": 1, "output_nc": 2, "direction": "AtoB"}
    batch = next(iter(create_dataset(options(tmp_path, dataset_mode="colorization", **defaults))))
    assert batch["A"].shape == (1, 1, 8, 8) and batch["B"].shape == (1, 2, 8, 8)
    assert abs(batch["A"][0, 0, 0, 0].item() - (53.24 / 50 - 1)) < 1e-3
    assert abs(batch["B"][0, 1, 0, 0].item() - 67.20 / 110) < 1e-3


def test_template_shows_a_flag_and_changed_defaults(tmp_path: Path) -> None:
    colour(tmp_path / "1.png", 128)
    parser = argparse.ArgumentParser()
    parser.add_argument("--max_dataset_size", type=int, default=math.inf)
    parsed = get_option_setter("template")(parser, True).parse_args([])
    assert (parsed.max_dataset_size, parsed.new_dataset_option) == (10, 2.0)
    batch = next(iter(create_dataset(options(tmp_path, dataset_mode="template", **vars(parsed)))))
    assert torch.equal(batch["B"], (2 * batch["A"]).clamp(-1, 1))


@pytest.mark.parametrize("mode", ["unaligned", "aligned", "single", "template", "colorization"])
def test_check_data_opens_every_file_before_training(unpaired: Path, mode: str) -> None:
    noise(unpaired / "train" / "1.png")
    changed: dict = {"input_nc": 1, "output_nc": 2} if mode == "colorization" else {"new_dataset_option": 2.0}
    opt = options(unpaired, dataset_mode=mode, check_data=True, **changed)
    create_dataset(opt)
    for path in unpaired.rglob("*.png"):
        path.write_bytes(path.read_bytes()[:50])
    with refused("--check_data", "file 1"):
        create_dataset(opt)


def test_spawned_workers_equal_the_main_process(unpaired: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = {"preprocess": "resize_and_crop", "no_flip": False, "batch_size": 2}
    expected = list(create_dataset(options(unpaired, **changed)))
    monkeypatch.setattr(workers, "WORKER_START_METHOD", "spawn")
    found = list(create_dataset(options(unpaired, num_threads=1, **changed)))
    assert all(torch.equal(a[key], b[key]) for a, b in zip(expected, found, strict=True) for key in "AB")
    assert names(found, "B_paths") == names(expected, "B_paths")


@pytest.mark.parametrize("mode", ["aligned", "single"])
def test_datasets_pickle(tmp_path: Path, mode: str) -> None:
    noise(tmp_path / "train" / "1.png")
    dataset = find_dataset_using_name(mode)(options(tmp_path, dataset_mode=mode))
    assert torch.equal(pickle.loads(pickle.dumps(dataset))[0]["A"], dataset[0]["A"])


UPSTREAM_PLUGIN = '''
"""A data set written for upstream."""
import os
from conftest import data_options
from PIL import Image
from data.base_dataset import BaseDataset, get_params, get_transform
from data.image_folder import make_dataset

class OldDataset(BaseDataset):
    def __init__(self, opt):
        BaseDataset.__init__(self, opt)
        self.image_paths = sorted(make_dataset(os.path.join(opt.dataroot, opt.phase + "A"), opt.max_dataset_size))
        self.transform = get_transform(opt)

    def __getitem__(self, index):
        image = Image.open(self.image_paths[index]).convert("RGB")
        params = get_params(self.opt, image.size)
        return {"A": self.transform(image), "B": get_transform(self.opt, params)(image),
                "A_paths": self.image_paths[index]}

    def __len__(self):
        return len(self.image_paths)
'''


def test_an_upstream_plugin_file_runs_unchanged(unpaired: Path, tmp_path_factory: object) -> None:
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "old_dataset.py").write_text(UPSTREAM_PLUGIN)
    noise(unpaired / "trainA" / "a0.png", (12, 12))
    opt = options(unpaired, dataset_mode="old", plugin_path=[str(folder)], check_data=True)
    opt.preprocess, opt.no_flip, opt.load_size = "resize_and_crop", False, 16
    loaders = create_dataset(opt), create_dataset(argparse.Namespace(**{**vars(opt), "num_threads": 2}))
    in_process, workers = (list(loader.epoch(2)) for loader in loaders)
    assert all(torch.equal(a[key], b[key]) for a, b in zip(in_process, workers, strict=True) for key in "AB")


@pytest.mark.skipif(
    not (SHARED / "daisy2sunflower").is_dir(), reason="no real photographs beside the checkout"
)
def test_real_photographs_load_with_the_default_preprocessing() -> None:
    opt = options(SHARED / "daisy2sunflower", preprocess="resize_and_crop", load_size=286, crop_size=256)
    loader = create_dataset(opt)
    assert len(loader) == 600
    batch = next(iter(loader))
    assert batch["A"].shape == batch["B"].shape == (1, 3, 256, 256)
    assert -1 <= batch["A"].min() < -0.5 < 0.2 < batch["A"].max() <= 1
