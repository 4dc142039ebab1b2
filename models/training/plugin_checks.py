"""Checks of what plugins and data sets return; each raises a UserError that names the wrong part."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from util.errors import UserError

IMAGE_KEYS = ("A", "B", "image")  # of batches
LARGEST = 1.5  # more than 1, because resampling of floats can exceed [-1, 1] a little


def check_range(batch: Mapping[str, Any], dataset_mode: str) -> None:
    """The images of a batch must be in [-1, 1]."""
    for key in IMAGE_KEYS:
        images = batch.get(key)
        if isinstance(images, Tensor) and images.numel() and (largest := images.abs().max().item()) > LARGEST:
            raise UserError(
                f"--dataset_mode {dataset_mode} gives images {key} with values up to {largest:.4g}: return float32 "
                "in [-1, 1], e.g. x / 127.5 - 1 for 8-bit images x"
            )


def check_channels(images: Tensor, flag: str, channels: int, dataset_mode: str) -> None:
    """Images must be (N, C, H, W), where C is the value of --input_nc or --output_nc."""
    if images.ndim != 4 or images.shape[1] != channels:
        found = f"{images.shape[1]} channels" if images.ndim == 4 else f"the shape {tuple(images.shape)}"
        advice = f"use {flag} {images.shape[1]}, or " if images.ndim == 4 else ""
        raise UserError(
            f"{flag} {channels} does not fit --dataset_mode {dataset_mode}, whose batches have {found}: "
            f"{advice}correct the data set"
        )


def check_networks(names: Iterable[str], known: nn.ModuleDict, model: str) -> None:
    """The networks of a phase must have been added."""
    for name in names:
        if name not in known:
            raise UserError(
                f"--model {model} has no network {name!r} to train, only {', '.join(known) or 'none'}: "
                "call add_net first"
            )


def check_terms(phase: str, terms: Any) -> None:
    """Loss terms must be name -> scalar tensor, with one at least."""
    if not isinstance(terms, dict) or not terms:
        raise UserError(f"phase {phase}: its method must return loss terms, a dict name -> scalar tensor")
    for name, term in terms.items():
        if not isinstance(term, Tensor) or term.ndim:
            raise UserError(f"phase {phase}: its loss term {name} must be a scalar tensor, not {_kind(term)}")


def check_gradient(phase: str, loss: Tensor, nets: Iterable[str]) -> None:
    """A loss must depend on a network that learns."""
    if not loss.requires_grad:
        raise UserError(f"phase {phase}: its loss does not depend on {', '.join(nets)}")


def check_images(argument: str, images: Any, nets: Collection[str]) -> None:
    """The arguments `real` and `fake` of add_discriminator_phase must return images for each network."""
    if not isinstance(images, dict) or not all(isinstance(images.get(net), Tensor) for net in nets):
        names = ", ".join(map(repr, nets))
        raise UserError(
            f"add_discriminator_phase: the method passed as {argument}= must return a dict with images for each of {names}"
        )


def check_visuals(visuals: Mapping[str, Any]) -> None:
    """All entries of visuals() must be batches of images."""
    for label, images in visuals.items():
        if not isinstance(images, Tensor) or images.ndim != 4:
            raise UserError(f"visuals(): {label} must be images (N, C, H, W), not {_kind(images)}")


def _kind(value: Any) -> object:
    return tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
