"""Training steps, and images from generators alone."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from scripts.benchmarks.measure import Case, timed
from scripts.benchmarks.peers import stepping
from scripts.benchmarks.setting import Make, Setting, build, random_batch

if TYPE_CHECKING:
    from models.base_model import BaseModel, Batch


def step_case(words: str) -> Make:
    """Training steps of a model on one random batch, the same for both sides.

    A run is as many steps as the discriminator makes for one of the generator, so that each run is alike;
    times are those of one optimize_parameters().
    """

    @contextmanager
    def make(setting: Setting) -> Iterator[Case]:
        with tempfile.TemporaryDirectory() as folder:
            opt = setting.options(words, fast=True, folder=folder)
            batch = random_batch(opt, setting.device)
            steps = vars(opt).get("n_critic", 1)

            fast = timed(setting.gauge, _stepping(build(opt), batch, steps))
            measures = {"units": steps, "images": opt.batch_size, "warm_ups": setting.warm_ups}
            if setting.peer is not None:
                with stepping(setting.peer, opt, batch, folder=folder, device=setting.device) as baseline:
                    yield Case(fast, baseline, f"the checkout of {setting.peer.title}", **measures)
                return
            plain = build(setting.options(words, fast=False, folder=folder))
            yield Case(
                fast, timed(setting.gauge, _stepping(plain, batch, steps)), "plain", counted=True, **measures
            )

    return make


def _stepping(model: BaseModel, batch: Batch, steps: int) -> Callable[[], None]:
    def run() -> None:
        for _ in range(steps):
            model.optimize_parameters(batch)

    return run


def sampling_case(words: str, net: str) -> Make:
    """The generator `net` of a model on one batch: noise, or images where it translates."""

    @contextmanager
    def make(setting: Setting) -> Iterator[Case]:
        with tempfile.TemporaryDirectory() as folder:
            opt = setting.options(f"{words} --ema_decay 0", fast=True, folder=folder)
            fast, plain = (
                _drawing(build(setting.options(f"{words} --ema_decay 0", fast=form, folder=folder)), net)
                for form in (True, False)
            )
        forms = (timed(setting.gauge, fast), timed(setting.gauge, plain))
        yield Case(*forms, "plain", images=opt.batch_size, counted=True, warm_ups=setting.warm_ups)

    return make


def _drawing(model: BaseModel, net: str) -> Callable[[], object]:
    import torch

    opt = model.opt
    batch = random_batch(opt, opt.device)
    inputs = [batch["A"]]
    if "z_dim" in opt:
        z = torch.randn(opt.batch_size, opt.z_dim, device=opt.device)
        inputs = [z, batch["label"]] if opt.n_classes else [z]

    @torch.no_grad()
    def draw() -> None:
        with model.inference_mode():
            model.nets[net](*inputs)

    return draw
