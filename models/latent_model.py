"""The base class of models that make images from noise: DCGAN, conditional GAN, SAGAN and BigGAN."""

import math
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from models import networks
from models.base_model import BaseModel, Batch, Terms
from models.latent_flags import TRAINING_SHEETS, add_step_flags, query_points, sheets_from
from util.cli.flag_types import names, whole
from util.errors import UserError
from util.imaging.attention_overlay import overlay
from util.imaging.images import grid
from util.noise import seeded_batch

MOST_ROWS, COLUMNS = 10, 8  # of the panel `samples`, which shows the same noise throughout a run
STATISTICS_BATCH = 64  # fixed, because --batch_size must not change an image
STATISTICS_SEED = 2**31  # seeds of images are usually smaller
OVERLAID = 6  # number of images whose attention is shown in training


class LatentModel(BaseModel):
    """G: (z, label) -> image, D: (image, label) -> logit; no labels if n_classes is 0.

    The discriminator learns at each step, the generator at every `--n_critic`-th. Fakes have the labels of the
    real images of their batch, and both nets learn from the same fakes unless `--fresh_fakes` is given.
    """

    families: tuple[str, ...] = ()  # the values that --netG and --netD can have
    loss_names = ("D_real", "D_fake", "G_gan")
    test_dataset = "noise"

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        parser.set_defaults(preprocess="center", load_size=64, crop_size=64, batch_size=64, norm="batch")
        parser.add_argument("--z_dim", type=whole(1), default=100, help="length of the noise vector z")
        parser.add_argument(
            "--n_classes",
            type=whole(0),
            default=None,
            help="number of classes; 0 ignores labels (default: as many as the data set has)",
        )
        parser.add_argument(
            "--class_names",
            action="append",
            default=[],
            help="name of class 0, then of class 1, and so on; may be repeated (default: those of the data set)",
        )
        if is_train:
            parser.set_defaults(dataset_mode="folder", gan_mode="vanilla", lr_policy="constant")
            parser.set_defaults(n_epochs=100, n_epochs_decay=0, pool_size=0, print_freq=640)
            parser.set_defaults(display_freq=6400, update_html_freq=6400, save_latest_freq=64000)
            add_step_flags(parser)
            about = f"sheets to show besides the samples: any of {', '.join(TRAINING_SHEETS)}, separated by commas"
            parser.add_argument("--show_sheets", type=names, default=[], metavar="NAMES", help=about)
        else:
            parser.set_defaults(dataset_mode="noise", eval=True)
            parser.add_argument(
                "--standing_stats",
                type=whole(0),
                default=0,
                help="number of batches of noise on which to measure the statistics of batch norm; 0 uses those of training",
            )
        return parser

    @classmethod
    def check_options(cls, opt: Namespace) -> None:
        networks.check_options(opt, allowed=cls.families)
        if opt.image_side is None:
            raise UserError(
                f"--model {opt.model} needs square images of one size, but --preprocess {opt.preprocess} keeps "
                "other sizes: use --preprocess center"
            )
        sheets_from(opt)

    def __init__(self, opt: Namespace) -> None:
        super().__init__(opt)
        self.G = self.add_net("G", self._built(self.generator), role="generator")
        self.panel = self._panel()
        self.points = query_points(opt.attn_points) if "attn_points" in opt else []
        if self.is_train:
            self.D = self.add_net("D", self._built(self.discriminator), role="discriminator")
            self.gan = networks.GANLoss(opt.gan_mode, split=opt.split_D)
            self.shares_forward = not opt.fresh_fakes
            self.add_discriminator_phase(
                "D",
                self.loss_D,
                ["D"],
                real=lambda: {"D": self.real},
                fake=lambda: {"D": self.fake},
                label=lambda: self.label,
                lr=opt.lr_D,
            )
            offset = opt.n_critic - 1 if opt.critic_first else 0
            self.add_phase("G", self.terms_G, ["G"], lr=opt.lr_G, every=opt.n_critic, offset=offset)

    # ------------------------------------------------------------------ for plugins to override

    def generator(self) -> nn.Module:
        """z (N, z_dim), label (N,) -> images (N, output_nc, S, S) in [-1, 1]; --netG by default."""
        return networks.noise_generator_from(self.opt, **self.family_arguments("G"))

    def discriminator(self) -> nn.Module:
        """Images (N, output_nc, S, S), label (N,) -> logits (N,); --netD by default."""
        return networks.noise_discriminator_from(self.opt, **self.family_arguments("D"))

    def family_arguments(self, net: str) -> dict[str, Any]:
        """Arguments of "G" or "D" that only the family of this model has."""
        return {}

    def normalised(self, net: nn.Module) -> nn.Module:
        """Apply spectral norm to a net, if the model has it; called for both nets."""
        return net

    # ------------------------------------------------------------------ the training step

    def set_input(self, batch: Batch) -> None:
        """Take real images and labels, or at test time z and label; z is drawn if the batch has none."""
        if "z" in batch:
            self.z = self.to_device(batch["z"])
        else:
            self.z = torch.randn(len(batch["image"]), self.opt.z_dim, device=self.device)
        self.real = self.checked_images(batch["image"], "output_nc") if "image" in batch else self.z[:0]
        self.label = self.to_device(self._checked(batch["label"])) if self.opt.n_classes else None

    def forward(self) -> None:
        self.fake = self.G(*self.with_label(self.z))

    def loss_D(self, D: nn.Module, real: Tensor, fake: Tensor, label: Tensor | None) -> Terms:
        """The adversarial loss of the discriminator; `<name>` is logged as `D_<name>`."""
        return self.gan.discriminator(D, real, fake, label)

    def terms_G(self) -> Terms:
        return {"G_gan": self.gan.generator(self.D(*self.with_label(self.fake)))}

    def with_label(self, x: Tensor) -> tuple[Tensor, ...]:
        """The inputs of a net: x, and the labels if there are any."""
        return (x,) if self.label is None else (x, self.label)

    # ------------------------------------------------------------------ what is shown

    def scalars(self) -> dict[str, Tensor]:
        return networks.gammas(self.nets) | networks.singular_values(self.nets)

    def visuals(self) -> dict[str, Tensor]:
        shown = {"real": self.real} if len(self.real) else {}
        shown["fake"] = self.fake
        for name, x in {"G": self.z, "D": self.fake}.items():
            if name in self.nets and getattr(self.nets[name], "attention", {}):
                shown[f"attn_{name}"] = self._attention(self.nets[name], x)
        return shown

    def get_current_visuals(self) -> dict[str, Tensor]:
        """Images of the last step, and of the averaged weights `samples` and `--show_sheets`, always from the same noise.

        `samples` has a row for each class.
        """
        shown = super().get_current_visuals()
        shown["samples"] = self._drawn(self.panel, COLUMNS)
        for sheet in sheets_from(self.opt):
            inputs = {"z": sheet.z} if sheet.label is None else {"z": sheet.z, "label": sheet.label}
            shown[sheet.name] = self._drawn(inputs, sheet.columns)
        return dict(sorted(shown.items(), key=lambda item: item[0].startswith("attn")))  # attention last

    def _drawn(self, inputs: dict[str, Tensor], columns: int) -> Tensor:
        """z (N, z_dim) and label (N,) -> one image (1, C, H, W) of the N images, with `columns` side by side."""
        parts = zip(*(value.split(self.opt.batch_size) for value in inputs.values()), strict=True)
        images = [self.generate(dict(zip(inputs, part, strict=True))) for part in parts]
        return grid(torch.cat(images), columns)

    @torch.no_grad()
    def generate(self, batch: Batch) -> Tensor:
        """A batch with z (N, z_dim) and label (N,) -> images (N, C, S, S) in [-1, 1], with averaged weights if there are any."""
        with self.inference_mode():
            self._read_batch(batch)
            self.forward()
            return self.fake

    def _attention(self, net: nn.Module, x: Tensor) -> Tensor:
        """The fakes (N, C, S, P * S), overlaid with the attention maps of P points in the finest layer."""
        assert isinstance(net.attention, nn.ModuleDict)
        count = OVERLAID if self.is_train else len(x)
        inputs = [part[:count] for part in self.with_label(x)]
        finest = max(net.attention, key=int)
        rows = networks.attention_rows(net, finest, inputs, self.points)
        return overlay(self.fake[:count], rows, self.points)

    def _panel(self) -> dict[str, Tensor]:
        if not self.opt.n_classes:
            return {"z": seeded_batch(0, COLUMNS**2, self.opt.z_dim)}
        rows = min(MOST_ROWS, self.opt.n_classes)
        z = seeded_batch(0, COLUMNS, self.opt.z_dim).repeat(rows, 1)
        return {"z": z, "label": torch.arange(rows).repeat_interleave(COLUMNS)}

    # ------------------------------------------------------------------ weights

    def load_networks(self, epoch: int | str) -> None:
        super().load_networks(epoch)
        if not self.is_train and self.opt.standing_stats:
            self._measure_statistics(self.opt.standing_stats)

    @torch.no_grad()
    def _measure_statistics(self, batches: int) -> None:
        """Measure batch norm's mean and variance over new noise, because training has none for averaged weights."""
        size = STATISTICS_BATCH
        truncation = vars(self.opt).get("truncation", math.inf)  # the flag of the noise data set
        for norm in self.G.modules():
            if isinstance(norm, _BatchNorm):
                norm.reset_running_stats()
                norm.momentum = None  # all batches count equally
        self.G.train()
        for index in range(batches):
            z = seeded_batch(STATISTICS_SEED + index * size, size, self.opt.z_dim, truncation)
            label = torch.arange(index * size, (index + 1) * size) % max(1, self.opt.n_classes)
            self.set_input({"z": z, "label": label})
            self.forward()
        self.G.eval()

    # ------------------------------------------------------------------ private

    def _built(self, make: Callable[[], nn.Module]) -> nn.Module:
        """A net with initial weights, and then spectral norm, according to the options."""
        try:
            net = make()
        except ValueError as error:
            raise UserError(f"--model {self.opt.model}: {error}") from error
        networks.init_weights(net, self.opt.init_type, self.opt.init_gain)
        return self.normalised(net)

    def _checked(self, label: Tensor | list[str]) -> Tensor:
        assert isinstance(label, Tensor)
        classes = self.opt.n_classes  # floating-point labels are weights of the classes
        outside = [] if label.is_floating_point() else label[(label < 0) | (label >= classes)].tolist()
        if outside:
            raise UserError(
                f"the data set has a label {outside[0]}, but with --n_classes {classes} labels are 0 to {classes - 1}: "
                "raise --n_classes, or correct the data set"
            )
        return label
