"""The family base of noise to image: what DCGAN, conditional GAN, SAGAN and BigGAN have in common."""

import math
from abc import abstractmethod
from argparse import ArgumentParser, Namespace
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from models import networks
from models.base_model import BaseModel, Batch, Terms
from models.latent_flags import query_points
from util.cli.flag_types import whole
from util.errors import UserError
from util.imaging.attention_overlay import overlay
from util.imaging.images import grid
from util.noise import seeded_batch

MOST_ROWS, COLUMNS = 10, 8  # of the panel that is drawn anew from the same noise throughout a run
STATISTICS_BATCH = 64  # whatever --batch_size, which must not change an image
OVERLAID = 6  # images whose attention is shown in training


class LatentModel(BaseModel):
    """G: (z, label) -> image, D: (image, label) -> logit; there are no labels where n_classes is 0.

    The discriminator learns at each step, the generator at every `--n_critic`-th. Fakes have the labels
    of the real images of their batch, and one set of fakes serves both nets.
    """

    families: tuple[str, ...] = ()  # the names that --netG and --netD may have
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
            help="classes of images; default: as many as the data set has, 0 ignores labels",
        )
        if is_train:
            parser.set_defaults(dataset_mode="folder", gan_mode="vanilla", lr_policy="constant")
            parser.set_defaults(n_epochs=100, n_epochs_decay=0, pool_size=0)
            parser.set_defaults(
                print_freq=640, display_freq=6400, update_html_freq=6400, save_latest_freq=64000
            )
            parser.add_argument(
                "--n_critic",
                type=whole(1),
                default=1,
                help="steps of the discriminator for one of the generator",
            )
        else:
            parser.set_defaults(dataset_mode="noise", eval=True)
            parser.add_argument(
                "--standing_stats",
                type=whole(0),
                default=0,
                help="measure batch norm's statistics anew over so many batches; 0 = those of training",
            )
        return parser

    @classmethod
    def check_options(cls, opt: Namespace) -> None:
        networks.check_options(opt, known=cls.families)
        if opt.image_side is None:
            raise UserError(
                f"--model {opt.model} needs square images of one size, which --preprocess {opt.preprocess} does not "
                "make: use --preprocess center"
            )

    def __init__(self, opt: Namespace) -> None:
        super().__init__(opt)
        self.G = self.add_net("G", self._built(self.generator), ema=True)
        self.panel = self._panel()
        self.points = query_points(opt.attn_points) if "attn_points" in opt else []
        if self.is_train:
            self.D = self.add_net("D", self._built(self.discriminator))
            self.gan = networks.GANLoss(opt.gan_mode, lambda_gp=opt.lambda_gp)
            self.add_phase("D", self.terms_D, ["D"], lr=opt.lr_D)
            if opt.r1_gamma > 0:
                every = opt.r1_every
                self.add_phase("D_r1", self.terms_r1, ["D"], lr=opt.lr_D, every=every, scale=every)
            self.add_phase("G", self.terms_G, ["G"], lr=opt.lr_G, every=opt.n_critic)

    # ------------------------------------------------------------------ written by the plugin

    @abstractmethod
    def generator(self) -> nn.Module:
        """z (N, z_dim), label (N,) -> images (N, output_nc, S, S) in [-1, 1]."""

    @abstractmethod
    def discriminator(self) -> nn.Module:
        """Images (N, output_nc, S, S), label (N,) -> logits (N,)."""

    # ------------------------------------------------------------------ the game

    def set_input(self, batch: Batch) -> None:
        """Images to learn from, or at test time z and label; z is drawn where the batch has none."""
        if "z" in batch:
            self.z = self.to_device(batch["z"])
        else:
            self.z = torch.randn(len(batch["image"]), self.opt.z_dim, device=self.device)
        self.real = self.to_device(batch["image"]) if "image" in batch else self.z[:0]
        self.label = self.to_device(self._checked(batch["label"])) if self.opt.n_classes else None

    def forward(self) -> None:
        self.fake = self.G(*self.with_label(self.z))

    def terms_D(self) -> Terms:
        terms = self.gan.discriminator(self.D, self.real, self.fake, self.label)
        return {f"D_{name}": term for name, term in terms.items()}

    def terms_r1(self) -> Terms:
        return {"D_r1": self.opt.r1_gamma * networks.r1_penalty(self.D, self.real, self.label)}

    def terms_G(self) -> Terms:
        return {"G_gan": self.gan.generator(self.D(*self.with_label(self.fake)))}

    def with_label(self, x: Tensor) -> tuple[Tensor, ...]:
        """What a net of this model takes beside x."""
        return (x,) if self.label is None else (x, self.label)

    # ------------------------------------------------------------------ what is shown

    def scalars(self) -> dict[str, Tensor]:
        return networks.gammas(self.nets)

    def visuals(self) -> dict[str, Tensor]:
        shown = {"real": self.real} if len(self.real) else {}
        shown["fake"] = self.fake
        attending = {"attn_G": (self.G, self.z)} | ({"attn_D": (self.D, self.fake)} if self.is_train else {})
        for label, (net, x) in attending.items():
            if getattr(net, "attention", {}):
                shown[label] = self._attention(net, x)
        return shown

    def get_current_visuals(self) -> dict[str, Tensor]:
        """Those of the last step, and `samples`: the same noise in every picture, a class a row, averaged weights."""
        shown = super().get_current_visuals()
        count, size = len(self.panel["z"]), self.opt.batch_size
        rows = [slice(start, start + size) for start in range(0, count, size)]
        parts = [self.generate({key: value[part] for key, value in self.panel.items()}) for part in rows]
        shown["samples"] = grid(torch.cat(parts), COLUMNS)
        return dict(sorted(shown.items(), key=lambda item: item[0].startswith("attn")))  # which stand apart

    @torch.no_grad()
    def generate(self, batch: Batch) -> Tensor:
        """z (N, z_dim), and label, as test() takes them -> images (N, C, S, S) in [-1, 1] alone, of averaged weights."""
        with self.inference_mode():
            self._take(batch)
            self.forward()
            return self.fake

    def _attention(self, net: nn.Module, x: Tensor) -> Tensor:
        """What the finest attention of a net looks at, drawn over the fakes."""
        assert isinstance(net.attention, nn.ModuleDict)
        count = OVERLAID if self.is_train else len(x)
        inputs = [part[:count] for part in self.with_label(x)]
        finest = max(net.attention, key=int)
        rows = networks.attention_rows(net, finest, inputs, self.points)
        return overlay(self.fake[:count], rows, self.points)

    def _panel(self) -> Batch:
        if not self.opt.n_classes:
            return {"z": seeded_batch(0, COLUMNS**2, self.opt.z_dim)}
        label = torch.arange(min(MOST_ROWS, self.opt.n_classes)).repeat_interleave(COLUMNS)
        return {
            "z": seeded_batch(0, COLUMNS, self.opt.z_dim).repeat(len(label) // COLUMNS, 1),
            "label": label,
        }

    # ------------------------------------------------------------------ weights

    def load_networks(self, epoch: int | str) -> None:
        super().load_networks(epoch)
        if not self.is_train and self.opt.standing_stats:
            self._measure_statistics(self.opt.standing_stats)

    @torch.no_grad()
    def _measure_statistics(self, batches: int) -> None:
        """Batch norm's mean and variance over fresh noise, for weights (averaged ones, say) that had none of their own."""
        norms = [module for module in self.G.modules() if isinstance(module, _BatchNorm)]
        if not norms:
            return
        size, first_seed = STATISTICS_BATCH, 2**31  # far from the seeds that people look at
        truncation = vars(self.opt).get("truncation", math.inf)  # the flag of the noise data set
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the plain average of all batches
        self.G.train()
        for index in range(batches):
            z = seeded_batch(first_seed + index * size, size, self.opt.z_dim, truncation)
            self.set_input(
                {"z": z, "label": torch.arange(index * size, (index + 1) * size) % max(1, self.opt.n_classes)}
            )
            self.forward()
        self.G.eval()

    # ------------------------------------------------------------------ private

    def _built(self, make: Callable[[], nn.Module]) -> nn.Module:
        """A net with initial weights as the options say; spectral norm goes on top of them."""
        try:
            net = make()
        except ValueError as error:
            raise UserError(f"--model {self.opt.model}: {error}") from error
        networks.init_weights(net, self.opt.init_type, self.opt.init_gain)
        return self.normalised(net)

    def normalised(self, net: nn.Module) -> nn.Module:
        """The net with spectral norm where the plugin wants it."""
        return net

    def _checked(self, label: Tensor | list[str]) -> Tensor:
        assert isinstance(label, Tensor)
        odd = [] if label.is_floating_point() else label[(label < 0) | (label >= self.opt.n_classes)].tolist()
        if odd:
            raise UserError(
                f"an item has label {odd[0]}, but --n_classes {self.opt.n_classes} knows 0 to "
                f"{self.opt.n_classes - 1}: raise --n_classes, or mend the data set"
            )
        return label
