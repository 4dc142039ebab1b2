"""scripts/benchmark.py --compare with checkouts of other repositories, of which these tests write stubs."""

import textwrap
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from conftest import TINY, load_script, names_all, refused

from scripts.benchmarks import peers
from scripts.benchmarks.entries import ENTRIES
from scripts.benchmarks.measure import Reading, Setting

benchmark = load_script("scripts/benchmark.py")


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    with ExitStack() as stack:
        yield Setting(folder=tmp_path, stack=stack)


# the least that each repository's code must look like
PARSER = """
    import argparse
    def parser(**types):
        made = argparse.ArgumentParser()
        for name, kind in types.items():
            made.add_argument("--" + name, type=kind)
        return made
"""
CHECKOUTS = {
    "cycle_gan": {
        "util/__init__": "",
        "util/util": PARSER,
        "options/__init__": "",
        "options/base_options": "# has --gpu_ids",
        "options/train_options": """
            from util import util
            class TrainOptions:
                def parse(self):
                    opt, _ = util.parser(gpu_ids=int, crop_size=int).parse_known_args()
                    assert opt.gpu_ids == -1
                    return opt
        """,
        "models/__init__": """
            from models.cycle_gan_model import CycleGANModel as create_model
            print("this goes nowhere")
        """,
        "models/cycle_gan_model": """
            class CycleGANModel:
                def __init__(self, opt):
                    self.opt, self.ready = opt, False
                def setup(self, opt):
                    self.ready = opt.device.type == "cpu"
                def set_input(self, batch):
                    self.side = batch["A"].shape[-1]
                    assert batch["A_paths"] == ["0.png"]
                def optimize_parameters(self):
                    assert self.ready and self.side == self.opt.crop_size
        """,
    },
    "sagan": {
        "parser": PARSER,
        "sagan_models": "from torch.nn import Linear as Generator",
        "parameter": """
            from parser import parser
            def get_parameters():
                return parser(batch_size=int, adv_loss=str).parse_known_args()[0]
        """,
        "trainer": """
            from sagan_models import Generator
            class Trainer:
                def __init__(self, loader, config):
                    self.G, self.loader, self.config = Generator(2, 2).cuda(), loader, config
                def train(self):
                    batches = iter(self.loader)
                    assert int(self.config.model_save_step * len(self.loader)) > 1000
                    for step in range(self.config.total_step):
                        images, _ = next(batches)
                        assert len(images) == self.config.batch_size and self.config.adv_loss == "hinge"
        """,
    },
    "biggan": {
        "parser": PARSER,
        "BigGAN": """
            import torch
            class Generator(torch.nn.Linear):
                def __init__(self, G_ch, n_classes, resolution, G_activation, skip_init=False, **more):
                    super().__init__(G_ch, n_classes)
                    self.dim_z = resolution
            class Discriminator(torch.nn.Linear):
                def __init__(self, D_ch, **more):
                    super().__init__(D_ch, 1)
            def G_D(G, D):
                return G, D
        """,
        "utils": """
            from parser import parser
            imsize_dict, nclass_dict, activation_dict = {"C10": 32}, {"C10": 10}, {"relu": None}
            def prepare_parser():
                made = parser(dataset=str, G_ch=int, D_ch=int, batch_size=int, num_D_steps=int, dim_z=int,
                    G_ortho=float, SN_eps=float, adam_eps=float, G_attn=str, D_attn=str)
                made.set_defaults(model="BigGAN", G_nl="relu", D_nl="relu", ema_decay=0.9999, ema_start=0)
                return made
            def ema(source, target, decay, start):
                return None
            def prepare_z_y(size, dim_z, classes, device):
                return size, classes
        """,
        "train_fns": """
            def GAN_training_function(G, D, GD, z_, y_, ema, state_dict, config):
                def train(x, y):
                    assert len(x) == len(y) == config["batch_size"] * config["num_D_steps"] and config["use_ema"]
                    assert G.training and state_dict["itr"] > 0
                return train
        """,
    },
}
FITTING = {
    "cycle_gan": " ".join(["--model cycle_gan", *TINY]),
    "sagan": "--model sagan --dataset_mode folder --n_classes 0 --ngf 8 --ndf 8 --batch_size 2 --crop_size 64",
    "biggan": "--model biggan --dataset_mode folder --n_classes 10 --n_critic 2 --ngf 8 --ndf 8 --batch_size 2 "
    "--crop_size 32",
}


def steps_of(kind: str, setting: Setting, **changed: str) -> list[Reading]:
    """Two steps of a stub of a repository, with the text of some files changed."""
    folder = setting.folder / "checkout"
    for name, text in (CHECKOUTS[kind] | changed).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
    peer = peers.recognise(str(folder))
    assert (peer.kind, peer.path) == (kind, folder)
    opt: Namespace = setting.options(FITTING[kind])
    with peers.peer_step(peer, opt, setting.folder) as form:
        return [form(True), form(False)]


def test_a_checkout_of_cut_is_not_taken_for_cycle_gan(tmp_path: Path) -> None:
    for name in ("models/cycle_gan_model.py", "options/train_options.py", "util/util.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert peers.recognise(str(tmp_path)).kind == "cycle_gan"
    (tmp_path / "models/cut_model.py").touch()
    with refused("--compare", tmp_path):
        peers.recognise(str(tmp_path))


def peer_of(kind: str) -> peers.Peer:
    return next(peer for peer in peers.PEERS if peer.kind == kind)


@pytest.mark.parametrize("kind", CHECKOUTS)
def test_a_peer_is_recognised_by_its_files_and_makes_steps(setting: Setting, kind: str) -> None:
    assert all(reading.seconds > 0 for reading in steps_of(kind, setting))
    names, refused_names = benchmark.choose([], peer_of(kind))
    assert names == [name for name, entry in ENTRIES.items() if entry.peer == kind and entry.usual]
    assert refused_names == []


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"sagan_models": "import tensorboardZ"}, ["tensorboardZ", "pip install tensorboardZ"]),
        ({"trainer": "raise OSError('odd')"}, ["Self-Attention-GAN", "OSError: odd"]),
        ({"parameter": "import os; os._exit(3)"}, ["exit code 3"]),
        (
            {
                "trainer": CHECKOUTS["sagan"]["trainer"].replace(
                    "assert len(images)", "import os; os._exit(4)#"
                )
            },
            ["exit code 4"],  # in a step, after it was ready
        ),
    ],
)
def test_a_peer_that_fails_is_reported(setting: Setting, changed: dict[str, str], named: list[str]) -> None:
    with refused("--compare", setting.folder / "checkout", *named):
        steps_of("sagan", setting, **changed)


def test_entries_without_a_counterpart_are_refused(setting: Setting, capsys: pytest.CaptureFixture) -> None:
    names, _ = benchmark.choose(["sagan_64", "dcgan_64"], peer_of("sagan"))
    assert names == ["sagan_64"] and names_all(capsys.readouterr().err, ["--only dcgan_64", "sagan_64"])
    with refused("--only dcgan_64"):
        benchmark.choose(["dcgan_64"], peer_of("sagan"))
    opt = setting.options("--model sagan --n_classes 0 --crop_size 128")
    with refused("--crop_size 128"), peers.peer_step(peer_of("sagan"), opt, setting.folder) as form:
        form(False)
