"""Plugins that were written for the earlier contract: roles, penalties and imports as they were then."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import TINY, OptionMaker, random_batch, refused

from models import create_model, networks

# a translator with networks without roles, which applies its penalties itself, and saves through the earlier module
EARLIER = """
from models import networks
from models.base_model import BaseModel
from util import checkpoint

class EarlierModel(BaseModel):
    def __init__(self, opt):
        super().__init__(opt)
        self.R = self.add_net("R", networks.define_G(3, 3, opt.ngf, opt.netG, norm=opt.norm), ema=True)
        if self.is_train:
            self.D = self.add_net("D", networks.define_D(3, opt.ndf, opt.netD, norm=opt.norm))
            self.gan = networks.GANLoss(opt.gan_mode, lambda_gp=opt.lambda_gp)
            self.add_phase("D", self.terms_of_D, ["D"], lr=opt.lr_D)
            if opt.r1_gamma > 0:
                self.add_phase("D_r1", self.terms_r1, ["D"], lr=opt.lr_D, every=opt.r1_every, scale=opt.r1_every)
            self.add_phase("R", self.terms_R, ["R"], lr=opt.lr_G)

    def set_input(self, batch):
        self.real_A, self.real_B = self.pair(batch)

    def forward(self):
        self.fake_B, self.same = networks.together(self.R, self.real_A, self.real_B)

    def terms_of_D(self):
        return {f"D_{name}": term for name, term in self.gan.discriminator(self.D, self.real_B, self.fake_B).items()}

    def terms_r1(self):
        return {"D_r1": self.opt.r1_gamma * networks.r1_penalty(self.D, self.real_B)}

    def terms_R(self):
        return {"R_gan": self.gan.generator(self.D(self.fake_B)), "R_same": (self.same - self.real_B).abs().mean()}

    def visuals(self):
        return {"real_A": self.real_A, "fake_B": self.fake_B}

    def save_networks(self, epoch):
        super().save_networks(epoch)
        checkpoint.save({"steps": torch.tensor(self.steps)}, self.save_dir / f"{epoch}_own.pth")

import torch
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "earlier_model.py").write_text(EARLIER)
    return tmp_path


def test_it_trains_with_its_own_penalties(folder: Path, train_opt: OptionMaker) -> None:
    words = [
        "--plugin_path",
        folder,
        "--model",
        "earlier",
        "--gan_mode",
        "wgangp",
        "--r1_gamma",
        1,
        "--r1_every",
        1,
    ]
    model = create_model(train_opt(*words, "--ema_decay", 0.9, "--ortho_G", 1e-4))
    assert model.roles == {"R": "generator"}
    model.optimize_parameters(random_batch("pairs"))
    losses = model.get_current_losses()
    assert {"D_gp", "D_r1", "R_gan"} <= losses.keys() and losses["D_gp"] > 0
    assert model.generator_loss() == pytest.approx(losses["R_gan"] + losses["R_same"])
    with refused("--diffaug", "color"):
        create_model(train_opt(*words, "--diffaug", "color"))


def test_every_save_calls_its_save_networks(
    folder: Path, unpaired: Path, tmp_path: Path, run_script: Callable[..., int]
) -> None:
    words = ["--plugin_path", folder, "--model", "earlier", "--dataroot", unpaired, *TINY, "--n_epochs", 1]
    where = ["--checkpoints_dir", tmp_path / "runs", "--name", "r", "--n_epochs_decay", 0]
    assert run_script("train.py", *words, *where) == 0
    assert torch.load(tmp_path / "runs" / "r" / "latest_own.pth", weights_only=True)["steps"] == 6


@pytest.mark.parametrize("change", [torch.nn.utils.spectral_norm, torch.nn.utils.weight_norm])
def test_layers_changed_by_torchs_hooks_are_not_converted(change: Callable) -> None:
    torch.manual_seed(0)
    net = networks.define_D(3, 64, "basic")
    change(net.model[2])
    keys, x = set(net.state_dict()), torch.randn(1, 3, 64, 64)
    before = net.eval()(x)
    net.speed_up()
    assert set(net.state_dict()) == keys and torch.allclose(net(x), before, atol=1e-4)
