"""Reading images, and writing checkpoints and pages."""

import shutil
import statistics
from argparse import Namespace
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from data import create_dataset, find_dataset_using_name
from scripts.benchmarks.compute import build
from scripts.benchmarks.measure import Case, Form, Reading, Setting
from scripts.toy.scenes import draw_scene, render
from util.clock import Clock
from util.imaging.images import save_image, to_uint8
from util.pages.results_page import ResultsPage
from util.run import checkpoint, lifecycle
from util.visualizer import create_visualizer

FILES, DRAWN = 48, 24  # in trainA and in trainB; different pictures, which further files repeat
STEPS = {"cpu": 5, "cuda": 60}  # of training; the first one, which fills the queues, does not count
RUN = "--model cycle_gan --crop_size 64"  # nets of full size; the size of the images changes no weight
PANELS = ("real_A", "fake_B", "rec_A", "idt_B", "real_B", "fake_A", "rec_B", "idt_A")
EPOCHS, POINTS, RESULTS = 25, 2000, 20  # epochs and losses of a long run, inputs on a results page


def write_photos(root: Path, *, count: int, side: int = 256) -> None:
    """`count` square JPEG files in each of trainA and trainB, with noise, so that they take time to decode."""
    paths = [root / "trainA" / f"{index:05d}.jpg" for index in range(count)]
    paths[0].parent.mkdir(parents=True)
    for index, path in enumerate(paths[:DRAWN]):
        picture = render(draw_scene(0, "trainA", index), "striped", side)
        grainy = (picture + np.random.default_rng(index).normal(0, 6, picture.shape)).clip(0, 255)
        Image.fromarray(grainy.astype(np.uint8)).save(path, quality=92)
    for index, path in enumerate(paths[DRAWN:]):
        shutil.copyfile(paths[index % DRAWN], path)
    shutil.copytree(root / "trainA", root / "trainB")


def reading(setting: Setting, words: str, in_batches: bool = False) -> Case:
    """All images on one thread, in float32 in [-1, 1]; B in the order of A, so that one turn caches all."""

    def prepare(opt: Namespace) -> Callable[[], object]:
        if in_batches:
            batches = create_dataset(opt).epoch
            return lambda: deque(batches(1), maxlen=0)
        dataset = find_dataset_using_name(opt.dataset_mode)(opt)
        return lambda: deque(map(dataset.__getitem__, range(len(dataset))), maxlen=0)

    setting.stack.callback(torch.set_num_threads, torch.get_num_threads())
    torch.set_num_threads(1)
    write_photos(setting.folder / "data", count=FILES)
    words += " --num_threads 0 --serial_batches"
    return Case(setting.both(words, prepare), units=2 * FILES, images=1)


def waiting(setting: Setting, words: str) -> Case:
    """How long the loop of train.py waits for the batch of a step, on average over some steps."""
    steps = STEPS[setting.device]
    write_photos(setting.folder / "data", count=steps * setting.options(words).batch_size)

    def form(opt: Namespace) -> Form:
        loader, (model, _), clock = create_dataset(opt), build(opt), Clock()

        def run(memory: bool) -> Reading:
            waits: list[float] = []
            for batch in islice(clock.timed(loader.epoch(1)), steps):
                waits.append(clock.data_s)
                model.optimize_parameters(batch)
            return Reading(statistics.mean(waits[1:]))

        return run

    return Case([form(setting.options(words, fast=fast)) for fast in (True, False)])


def save(setting: Setting) -> Case:
    """How long training waits for a save in the background, against a save in the foreground."""
    run = _run(setting.options(RUN))
    save = setting.timed(lambda: run.save("latest"))

    def in_background(memory: bool) -> Reading:
        with run.background:  # its end waits until all is written
            return save(memory)

    return Case([in_background, save], "the same, waiting for the disk")


def load(setting: Setting) -> Case:
    run = _run(setting.options(RUN))
    run.save("latest")
    bare = setting.timed(lambda: checkpoint.load(run.checkpoint.path))
    return Case([setting.timed(run.checkpoint.load), bare], "only torch.load")


def _run(opt: Namespace) -> lifecycle.Run:
    """A run after one step, so that its optimizers have a state to save."""
    model, batch = build(opt)
    model.optimize_parameters(batch)
    return lifecycle.begin(opt, model)


def train_page(setting: Setting) -> Case:
    """Pictures and page of a late epoch, as --display html writes them."""
    opt = setting.options(f"{RUN} --ngf 8 --ndf 8 --display html --update_html_freq {POINTS}")
    run, (pictures, bare) = _run(opt), _pictures(setting, PANELS, times=1)
    clock, page = run.clock, create_visualizer(opt, run, images_per_epoch=1)
    for clock.images in range(POINTS):
        page.scalars(dict.fromkeys(PANELS, 1 / (clock.images + 1)), clock)

    def update() -> None:
        clock.images += POINTS  # so that the page is due
        page.images(pictures, clock)

    for clock.epoch in range(1, EPOCHS + 1):
        update()
    return Case([setting.timed(update), bare], "only the pictures")


def result_page(setting: Setting) -> Case:
    """What test.py writes for a few inputs, three pictures each."""
    pictures, bare = _pictures(setting, PANELS[:3], times=RESULTS)

    def write() -> None:
        page = ResultsPage(setting.folder / "results", "benchmark")
        for index in range(RESULTS):
            page.add(f"{index}.jpg", None, pictures)
        page.save()

    return Case([setting.timed(write), bare], "only the pictures", units=3 * RESULTS, images=1)


def _pictures(setting: Setting, labels: Sequence[str], *, times: int) -> tuple[dict[str, torch.Tensor], Form]:
    """The same picture (1, 3, 256, 256) in [-1, 1] for each label, and the work of writing only them."""
    pixels = torch.from_numpy(render(draw_scene(0, "train", 0), "striped", 256))
    picture = (pixels.permute(2, 0, 1)[None] / 127.5 - 1).contiguous()

    def write() -> None:
        for index in range(times * len(labels)):
            save_image(to_uint8(picture)[0], setting.folder / "bare" / f"{index}.png")

    return dict.fromkeys(labels, picture), setting.timed(write)
