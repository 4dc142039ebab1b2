"""Reading images, and writing checkpoints and pages."""

from __future__ import annotations

import statistics
import time
from argparse import Namespace
from collections import deque
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from scripts.benchmarks.measure import Case, Form, Reading
from scripts.benchmarks.setting import Setting, build, random_batch
from scripts.toy.scenes import Style, draw_scene, render

if TYPE_CHECKING:
    from torch import Tensor

    from util.run.lifecycle import Run

DRAWN = 24  # different pictures per folder; further files repeat them
GRAIN = 6.0  # standard deviation in grey levels: smooth drawings would be decoded faster than photographs
SIDE = 256  # pixels of the files
STEPS = {
    "cpu": 5,
    "cuda": 60,
}  # of a stretch of training; the first one, which fills the queues, does not count
RUN = "--model cycle_gan --crop_size 64"  # nets of full size; the size of the images changes no weight
PANELS = ("real_A", "fake_B", "rec_A", "idt_B", "real_B", "fake_A", "rec_B", "idt_A")
SMALL = "--ngf 8 --ndf 8 --netG resnet_6blocks"  # where the nets do not matter
EPOCHS, POINTS = 25, 2000  # of a long run
RESULTS = 20  # inputs on a results page


def write_photos(root: Path, *, count: int, side: int = SIDE) -> None:
    """`count` square JPEG files, as large as photographs, in each of trainA and trainB below `root`."""
    styles: dict[str, Style] = {"trainA": "brown", "trainB": "striped"}
    for name, style in styles.items():
        folder = root / name
        folder.mkdir(parents=True)
        rng = np.random.default_rng(0)
        for index in range(count):
            path = folder / f"{index:05d}.jpg"
            if index >= DRAWN:
                path.write_bytes((folder / f"{index % DRAWN:05d}.jpg").read_bytes())
                continue
            picture = render(draw_scene(0, name, index), style, side)
            grainy = (picture + rng.normal(0, GRAIN, picture.shape)).clip(0, 255)
            Image.fromarray(grainy.astype(np.uint8)).save(path, quality=92)


# ---------------------------------------------------------------------- reading


def read_items(opt: Namespace) -> Callable[[], object]:
    """Reads each item once: decodes, scales, crops and flips it into float32 in [-1, 1]."""
    from data import find_dataset_using_name

    dataset = find_dataset_using_name(opt.dataset_mode)(opt)
    return lambda: deque(map(dataset.__getitem__, range(len(dataset))), maxlen=0)


def read_epoch(opt: Namespace) -> Callable[[], object]:
    """Reads an epoch of batches in this process."""
    from data import create_dataset

    loader = create_dataset(opt)
    return lambda: deque(loader.epoch(1), maxlen=0)


def reading_case(
    words: str, source: Callable[[Namespace], Callable[[], object]], images_per_item: int, setting: Setting
) -> Case:
    """48 files per folder on one thread; B is read in the order of A, so that one turn caches all."""
    import torch

    setting.stack.callback(torch.set_num_threads, torch.get_num_threads())
    torch.set_num_threads(1)
    write_photos(setting.folder / "data", count=48)
    words += " --num_threads 0 --serial_batches"
    fast, reference = (setting.timed(source(setting.options(words, fast=form))) for form in (True, False))
    return Case(fast, reference, "reference path", units=48 * images_per_item, images=1)


def wait_case(words: str, setting: Setting) -> Case:
    """How long the loop of train.py waits for the batch of a step."""
    batch = setting.options(words, fast=True).batch_size
    write_photos(setting.folder / "data", count=batch * STEPS[setting.device])
    shares: dict[bool, list[float]] = {True: [], False: []}
    fast, reference = (_waiting(setting, words, form, shares[form]) for form in (True, False))

    def note() -> str:
        medians = [f"{statistics.median(values):.2%}" for values in shares.values()]
        return f"{medians[0]} of a step, reference path {medians[1]}"

    return Case(fast, reference, "reference path", note=note)


def _waiting(setting: Setting, words: str, fast: bool, shares: list[float]) -> Form:
    """A stretch of training; each run reads the mean wait and appends its share of a step's time."""
    from data import create_dataset
    from util.clock import Clock

    opt = setting.options(words, fast=fast)
    loader, model, clock = create_dataset(opt), build(opt), Clock()
    wait_for_device = setting.timed(lambda: None)

    def run(memory: bool) -> Reading:
        waits: list[float] = []
        for batch in islice(clock.timed(loader.epoch(1)), STEPS[setting.device]):
            waits.append(clock.data_s)
            model.optimize_parameters(batch)
            if len(waits) == 1:
                wait_for_device(False)  # queued work of this step must not count for later ones
                start = time.perf_counter()
        wait_for_device(False)
        shares.append(sum(waits[1:]) / (time.perf_counter() - start))
        return Reading(statistics.mean(waits[1:]))

    return run


# ---------------------------------------------------------------------- writing


def save_case(setting: Setting) -> Case:
    """How long training waits for a save in the background, against a save in the foreground."""
    run = _run(setting.options(RUN, fast=True), setting.device)
    save = setting.timed(lambda: run.save("latest"))

    def in_background(memory: bool) -> Reading:
        with run.background:  # its end waits until all is written
            return save(memory)

    return Case(in_background, save, "the same, waiting for the disk")


def load_case(setting: Setting) -> Case:
    from util.run import checkpoint

    run = _run(setting.options(RUN, fast=True), setting.device)
    run.save("latest")
    bare = setting.timed(lambda: checkpoint.load(run.checkpoint.path))
    return Case(setting.timed(run.checkpoint.load), bare, "only torch.load")


def train_page_case(setting: Setting) -> Case:
    """Pictures and page of a late epoch, as --display html writes them."""
    from util.visualizer import create_visualizer

    opt = setting.options(f"{RUN} {SMALL} --display html --update_html_freq {POINTS}", fast=True)
    run = _run(opt, setting.device)
    clock, picture = run.clock, _picture()
    page = create_visualizer(opt, run, images_per_epoch=1)
    for clock.images in range(POINTS):
        page.scalars(dict.fromkeys(PANELS, 1 / (clock.images + 1)), clock)

    def update() -> None:
        clock.images += POINTS  # so that the page is due
        page.images(dict.fromkeys(PANELS, picture), clock)

    for clock.epoch in range(1, EPOCHS + 1):
        update()
    bare = setting.timed(lambda: _pictures_only(setting.folder, picture, len(PANELS)))
    return Case(setting.timed(update), bare, "only the pictures")


def result_page_case(setting: Setting) -> Case:
    """What test.py writes for a few inputs, three pictures each."""
    from util.pages.results_page import ResultsPage

    picture, count = _picture(), 3 * RESULTS

    def write() -> None:
        page = ResultsPage(setting.folder / "results", "benchmark")
        for index in range(RESULTS):
            page.add(f"{index}.jpg", None, dict.fromkeys(PANELS[:3], picture))
        page.save()

    bare = setting.timed(lambda: _pictures_only(setting.folder, picture, count))
    return Case(setting.timed(write), bare, "only the pictures", units=count, images=1)


def _run(opt: Namespace, device: str) -> Run:
    """A run after one step, so that its optimizers have a state to save."""
    from util.run import lifecycle

    model = build(opt)
    model.optimize_parameters(random_batch(opt, device))
    return lifecycle.begin(opt, model)


def _picture() -> Tensor:
    """(1, 3, 256, 256) in [-1, 1]."""
    import torch

    pixels = torch.from_numpy(render(draw_scene(0, "train", 0), "striped", 256))
    return (pixels.permute(2, 0, 1)[None].float() / 127.5 - 1).contiguous()


def _pictures_only(folder: Path, picture: Tensor, count: int) -> None:
    from util.imaging.images import save_image, to_uint8

    for index in range(count):
        save_image(to_uint8(picture)[0], folder / "bare" / f"{index}.png")
