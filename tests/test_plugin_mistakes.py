"""Mistakes in plugins, network families and panels are explained in one sentence."""

import pickle
from argparse import Namespace
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from conftest import names_all, random_batch, refused
from display_run import fake_run, options
from parsing import save_run, test, train

from data.loader import Loader
from models import create_model, networks
from models.base_model import BaseModel
from models.cycle_gan_model import CycleGANModel
from models.nets import families
from models.template_model import TemplateModel
from util.clock import Clock
from util.display.backends import html
from util.errors import RunFault

OptionMaker = Callable[..., Namespace]
FAMILY = "from torch import nn\nfrom models.nets.families import Family, register\n"


def model_of(train_opt: OptionMaker, **methods: Callable) -> BaseModel:
    """A template model with other methods."""
    return type("Changed", (TemplateModel,), methods)(train_opt("--model", "template"))


def discriminator_in(model: BaseModel, real: Callable) -> BaseModel:
    D = networks.define_D(3, 8, "pixel")
    model.add_net("D", D, role="discriminator")
    loss = networks.GANLoss("lsgan").discriminator
    model.add_discriminator_phase("D", loss, ["D"], real=real, fake=real, lr=1e-3)
    return model


# ---------------------------------------------------------------------- models


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        (lambda self: {"G": self.fake_B - self.real_B}, ["phase G", "G", "(4, 3, 32, 32)"]),
        (lambda self: {"G": 1.0}, ["phase G", "float"]),
        (lambda self: self.fake_B.mean(), ["phase G", "dict"]),
        (lambda self: {"G": self.real_B.mean()}, ["phase G", "depend on G"]),
    ],
)
def test_loss_terms_are_scalars_that_depend_on_the_network(
    train_opt: OptionMaker, terms: Callable, words: list[str]
) -> None:
    model = model_of(train_opt, terms_G=terms)
    with refused(*words):
        model.optimize_parameters(random_batch("pairs"))


@pytest.mark.parametrize("images", [torch.zeros(2, 3, 8, 8), {"E": torch.zeros(2, 3, 8, 8)}, None])
def test_the_images_of_a_discriminator_have_its_name(train_opt: OptionMaker, images: object) -> None:
    model = discriminator_in(model_of(train_opt), lambda: images)
    with refused("real=", "'D'"):
        model.optimize_parameters(random_batch("pairs"))


def test_a_phase_trains_networks_that_exist(train_opt: OptionMaker) -> None:
    model = model_of(train_opt)
    with refused("'E'", "G", "add_net"):
        model.add_phase("E", dict, ["E"], lr=1e-3)
    with refused("'E'", "G", "add_net"):
        model.add_discriminator_phase("E", dict, ["E"], real=dict, fake=dict, lr=1e-3)


def test_visuals_are_batches_of_images(train_opt: OptionMaker) -> None:
    model = model_of(train_opt, visuals=lambda self: {"map": self.fake_B[0]})
    model.optimize_parameters(random_batch("pairs"))
    with refused("visuals()", "map", "(3, 32, 32)"):
        model.get_current_visuals()


@pytest.mark.parametrize("scale", [127.5, 1.2])
def test_images_of_a_data_set_are_in_range(train_opt: OptionMaker, scale: float) -> None:
    model, batch = model_of(train_opt), random_batch("pairs")
    batch["B"] = (batch["B"] + 1) * scale
    with refused("--dataset_mode", "aligned", "B", f"{batch['B'].max():.4g}"):
        model.optimize_parameters(batch)
    batch["B"] = batch["B"] / batch["B"].max() * 1.2  # resampling can exceed the range a little
    model.optimize_parameters(batch)
    model.optimize_parameters(batch | {"B": batch["B"] * 100})  # only the first batch is checked


def test_the_base_class_is_initialised(train_opt: OptionMaker, tmp_path: Path) -> None:
    text = (
        "from models.template_model import *\nclass BareModel(TemplateModel):\n    def __init__(self, opt):\n"
    )
    (tmp_path / "bare_model.py").write_text(text + "        self.add_net('G', networks.GANLoss('lsgan'))\n")
    (tmp_path / "wrong_model.py").write_text(
        text.replace("Bare", "Wrong") + "        super().__init__(opt)\n        self.absent\n"
    )
    with refused("BareModel.__init__", "super().__init__(opt)"):
        create_model(train_opt("--plugin_path", tmp_path, "--model", "bare"))
    with pytest.raises(AttributeError, match="absent"):
        create_model(train_opt("--plugin_path", tmp_path, "--model", "wrong"))


@pytest.mark.parametrize(("flag", "other"), [("--netG", "resnet_9blocks"), ("--netD", "pixel")])
def test_a_family_from_noise_is_refused_by_models_from_images(
    train_opt: OptionMaker, flag: str, other: str
) -> None:
    with refused(flag, "biggan", "noise", "--model", "cycle_gan", other):
        CycleGANModel.check_options(train_opt("--model", "cycle_gan", flag, "biggan"))


# ---------------------------------------------------------------------- flags


def test_a_flag_of_training_only_is_named_in_testing(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "stemmed_model.py").write_text(
        "from models.template_model import *\n"
        "class StemmedModel(TemplateModel):\n"
        "    @staticmethod\n"
        "    def modify_commandline_options(parser, is_train):\n"
        "        if is_train:\n"
        "            parser.add_argument('--stem', type=int, default=3)\n"
        "        return parser\n"
    )
    opt = test(*save_run(tmp_path / "runs", "--plugin_path", tmp_path / "plugins", "--model", "stemmed"))
    for each in (opt, deepcopy(opt), pickle.loads(pickle.dumps(opt))):
        with refused("--stem", "is_train:"):
            print(each.stem)
        assert "stem" not in each and not hasattr(each, "stem") and getattr(each, "stem", 5) == 5
        with pytest.raises(AttributeError, match="stemm"):
            print(each.stemm)
    with pytest.raises(AttributeError):
        print(train().stem)


# ---------------------------------------------------------------------- network families


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(families, "FOLDER", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        '"one", "a net", generator=nn.Conv2d',
        'name="one", description="a net", generator=nn.Conv2d',
        '"one", "a net", nn.Conv2d, source="image"',
    ],
)
def test_names_reads_every_order_of_arguments(nets: Path, arguments: str) -> None:
    (nets / "one.py").write_text(f"{FAMILY}register(Family({arguments}))")
    assert families.names("generator", "image") == {"one": "a net"} and not families.names("discriminator")


@pytest.mark.parametrize("name", ['f"one"', "NAME"])
def test_a_family_that_help_cannot_read_is_named(nets: Path, name: str) -> None:
    (nets / "one.py").write_text(f"{FAMILY}register(Family({name}, 'a net', generator=nn.Conv2d))")
    with refused(nets / "one.py"):
        families.names("generator")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("for name in ('one',):\n    register(Family(name, 'a net', generator=nn.Conv2d))", []),
        ("register(Family('basic', 'a net', generator=nn.Conv2d))", ["'basic'", "patchgan.py"]),
        ("import no_such_package", ["no_such_package"]),
    ],
)
def test_a_family_file_that_cannot_be_used_is_named(
    nets: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: list[str]
) -> None:
    import models.nets

    path = nets / f"own{abs(hash(text)) % 10**6}.py"
    path.write_text(FAMILY + text)
    monkeypatch.setattr(models.nets, "__path__", [*models.nets.__path__, str(nets)])
    earlier = {"basic": families.FAMILIES["basic"]} if "basic" in text else {}
    monkeypatch.setattr(families, "FAMILIES", earlier)
    with refused(path, *words):
        families.load()


# ---------------------------------------------------------------------- pages


def test_a_panel_that_fails_is_left_out_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setitem(html.PANELS, "Broken", lambda history, clock, opt: 1 / 0)
    monkeypatch.setitem(html.PANELS, "Good", lambda history, clock, opt: "<p>still here</p>")
    run = fake_run(tmp_path)
    backend = html.HtmlBackend(options(), run, 4)
    backend.scalars({"G": 1.0}, Clock())
    backend.close()
    page = next(tmp_path.rglob("index.html")).read_text()
    assert "still here" in page and "Broken" not in page
    warnings = capsys.readouterr().err
    assert names_all(warnings, ["Broken", "ZeroDivisionError"]) and warnings.count("Broken") == 1


class BrokenImages(torch.utils.data.Dataset):
    """The exception comes from a helper of the author's."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict:
        return {"A": torch.full((3, 8, 8), self.ratio(index))}

    def ratio(self, index: int) -> float:
        return 1 / (index - index)


def test_an_exception_in_a_data_set_names_file_and_line() -> None:
    line = BrokenImages.ratio.__code__.co_firstlineno + 1
    with refused(f"{__file__}:{line}", "BrokenImages", error=RunFault):
        next(Loader(BrokenImages(), batch_size=1).epoch(1))
