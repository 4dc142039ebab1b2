"""Seeding, saving and restoring all global random generators of a process."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch on every device."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


class RandomState:
    """The states of the global generators as tensors and numbers, which torch.load reads with weights_only."""

    def state_dict(self) -> dict:
        version, internal, gauss = random.getstate()
        _, keys, position, has_gauss, cached = np.random.get_state()
        return {
            "python": [version, list(internal), gauss],
            "numpy": [torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, cached],
            "torch": torch.get_rng_state(),
            # reading the state of a GPU would initialise CUDA
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
            "mps": [torch.mps.get_rng_state()] if torch.backends.mps.is_available() else [],
        }

    def load_state_dict(self, state: dict) -> None:
        version, internal, gauss = state["python"]
        random.setstate((version, tuple(internal), gauss))
        keys, position, has_gauss, cached = state["numpy"]
        if keys.shape != (624,) or not 0 <= position <= 624:  # numpy would read beyond its table
            raise ValueError("the state of numpy's generator is not that of a Mersenne Twister")
        np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), position, has_gauss, cached))
        torch.set_rng_state(state["torch"])
        if torch.cuda.is_initialized() and len(state["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(state["cuda"])
        if torch.backends.mps.is_available() and state["mps"]:
            torch.mps.set_rng_state(state["mps"][0])


@contextmanager
def unchanged_random_state() -> Iterator[None]:
    """Restore all generators at the end of the block."""
    state = RandomState().state_dict()
    try:
        yield
    finally:
        RandomState().load_state_dict(state)
