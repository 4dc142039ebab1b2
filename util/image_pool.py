"""A history of generated images that the discriminator trains on (Shrivastava et al. 2017, arXiv:1612.07828)."""

import torch
from torch import Tensor

from util import distributed


class ImagePool:
    """Keeps up to `pool_size` images; 0 disables it.

    It has its own random generator, which is saved, so that a resumed run returns the same images.
    """

    def __init__(self, pool_size: int) -> None:
        self.pool_size = pool_size
        self.images: list[Tensor] = []
        seed = int(torch.randint(2**62, ())) + distributed.rank()
        self.generator = torch.Generator().manual_seed(seed)

    def query(self, images: Tensor) -> Tensor:
        """images (N, C, H, W) -> (N, C, H, W); a full pool exchanges each for an older one with probability 1/2."""
        if self.pool_size <= 0:
            return images
        if self.images and self.images[0].device != images.device:  # after loading a state
            self.images = [image.to(images.device) for image in self.images]
        return torch.stack([self._swap(image) for image in images.detach()])

    def _swap(self, image: Tensor) -> Tensor:
        if len(self.images) < self.pool_size:
            self.images.append(image.clone())
            return image
        if torch.rand((), generator=self.generator) > 0.5:
            place = int(torch.randint(self.pool_size, (), generator=self.generator))
            old, self.images[place] = self.images[place], image.clone()
            return old
        return image

    def state_dict(self) -> dict:
        return {"images": [image.cpu() for image in self.images], "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict) -> None:
        images = list(state["images"])
        ordinary = all(
            isinstance(image, Tensor) and image.layout is torch.strided and not image.is_meta
            for image in images
        )
        if not ordinary or any(image.ndim != 3 or not image.is_floating_point() for image in images):
            raise ValueError("the image pool does not hold images (C, H, W)")
        self.images = images
        self.generator.set_state(state["generator"].cpu())
