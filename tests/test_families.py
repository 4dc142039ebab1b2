"""The registry of networks: names for --help, checks, the table in the documentation, and a family added by one file."""

import re
import shutil
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from conftest import ROOT, refused

from models import networks
from models.nets import families
from models.nets.families import FAMILIES, Family

PAGE = (ROOT / "docs/networks.md").read_text()
NEW_FAMILY = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]
USE_OF_IT = """
import sys
from models.nets import families
assert families.names("generator")["my_net"] == "two convolutions"
assert "my_net" not in families.names("discriminator") and "torch" not in sys.modules
import torch
from models import networks
from util.errors import UserError
assert networks.define_G(3, 2, 8, "my_net")(torch.zeros(1, 3, 24, 24)).shape == (1, 2, 24, 24)
networks.check(netG="my_net", norm="none", init_type="normal", side=24)
try:
    networks.check(netG="my_net", norm="none", init_type="normal", side=25)
except UserError as error:
    flags = ("--netG resnet_9blocks", "--load_size 24", "--crop_size 24")
    assert all(flag in str(error) for flag in flags), error
else:
    raise AssertionError("25 pixels were accepted")
"""


def test_adding_a_family_takes_one_file(tmp_path: Path) -> None:
    for folder in ("models", "util"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "models/nets/my_net.py").write_text(NEW_FAMILY)
    subprocess.run([sys.executable, "-c", USE_OF_IT], cwd=tmp_path, check=True)


@pytest.mark.parametrize("kind", ["generator", "discriminator"])
@pytest.mark.parametrize("source", ["image", "noise", None])
def test_names_read_from_the_text_are_those_registered(kind: families.Kind, source: families.Source) -> None:
    assert families.names(kind, source) == {
        name: family.description
        for name, family in FAMILIES.items()
        if getattr(family, kind) and source in (None, family.source)
    }


def test_a_name_can_be_registered_once() -> None:
    with refused("'basic'", error=ValueError):
        families.register(Family("basic", "another"))


def sides(family: Family) -> str:
    """The column `sides` of the table in the documentation."""
    if family.sizes:
        return ", ".join(map(str, family.sizes))
    if family.side_multiple > 1:
        return f"multiples of {family.side_multiple}"
    if callable(family.smallest_side):
        return f"{family.smallest_side(1)}, {family.smallest_side(2)}, ... or more"
    return f"{family.smallest_side} or more" if family.smallest_side > 1 else "any"


def test_the_documentation_lists_the_families() -> None:
    """A new family may be missing in the table, so that adding one takes one file."""
    rows = re.findall(r"^\| `(\w+)` .*\| (?:image|noise) \|.*$", PAGE, re.MULTILINE)
    assert len(rows) >= 11
    for family in map(FAMILIES.__getitem__, rows):
        kinds = {"`--netG`": family.generator, "`--netD`": family.discriminator}
        flags = [flag for flag, build in kinds.items() if build]
        row = f"| `{family.name}` | {', '.join(flags)} | {family.source} | {sides(family)} | {family.description} |"
        assert row in PAGE, row


GOOD = {"netG": "resnet_6blocks", "netD": "basic", "norm": "batch", "init_type": "normal", "side": 64}


@pytest.mark.parametrize(
    "fitting",
    [
        {"netG": "unet_256", "side": 512},
        {"side": None},
        {"side": 24},
        {"side": 12, "netD": "n_layers", "n_layers_D": 2},
        {"side": 5, "netD": "pixel"},
        {"netG": "cgan_mlp", "netD": "cgan_mlp", "side": 28, "allowed": ["cgan_mlp"]},
    ],
)
def test_what_fits_is_accepted(fitting: dict) -> None:
    networks.check(**GOOD | fitting)


def test_only_families_with_places_for_attention_can_attend() -> None:
    networks.check_attention("--netG", "resnet_9blocks", "--attn_G_pos", ["trunk"])
    with refused("--netG unet_256", "resnet_9blocks", "--attn_G_pos none"):
        networks.check_attention("--netG", "unet_256", "--attn_G_pos", ["trunk"])


def test_options_build_every_family() -> None:
    opt = Namespace(ngf=8, ndf=8, norm="instance", no_dropout=False, init_type="normal", init_gain=0.02)
    opt.padding_type = "reflect"
    opt.n_layers_D, opt.z_dim, opt.output_nc, opt.image_side, opt.n_classes = 2, 6, 3, 32, 0
    for opt.netG in networks.GENERATORS:
        with torch.device("meta"):
            net = networks.generator_from(opt, 1, 2)
        assert any(isinstance(module, torch.nn.Dropout) for module in net.modules())
    for opt.netD in networks.DISCRIMINATORS:
        assert networks.discriminator_from(opt, 1)(torch.zeros(1, 1, 32, 32)).shape[1] == 1
    opt.netG = opt.netD = "dcgan"
    assert networks.noise_generator_from(opt)(torch.zeros(2, 6)).shape == (2, 3, 32, 32)
    assert networks.noise_discriminator_from(opt)(torch.zeros(2, 3, 32, 32)).shape == (2,)
    with pytest.raises(TypeError, match="upsampling"):  # misspelt arguments are not swallowed
        networks.noise_generator_from(opt, upsampling="nearest")
