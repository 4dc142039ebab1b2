"""The order of images: which images form which batch, from the seed and the epoch alone, for several processes."""

import hashlib
from collections.abc import Iterator

import torch

from util.errors import UserError

Key = tuple[int, int]  # index of an item, seed of its random numbers


def mix(*numbers: int) -> int:
    """A 63-bit seed that depends on all `numbers`, and is the same on every machine."""
    digest = hashlib.blake2b(repr(numbers).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


class EpochSampler:
    """The batches of one process, each a list of (index, item seed).

    All `world` processes together get the batches of a single process with `world * batch_size`: rank r gets
    rows [r * batch_size : (r + 1) * batch_size] of each. Without `drop_last` the last joint batch may be short,
    and ranks whose rows are missing get one batch less.

    Raises:
        UserError: the set is empty, or smaller than one joint batch with `drop_last`.
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        *,
        seed: int,
        shuffle: bool,
        drop_last: bool,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if count < (batch_size * world if drop_last else 1):
            processes = f" on {world} processes" if world > 1 else ""
            raise UserError(
                f"the data set has {count} images, too few for --batch_size {batch_size}{processes}; "
                "add images or use a smaller --batch_size"
            )
        self.count, self.batch_size, self.rank = count, batch_size, rank
        self.seed, self.shuffle = seed, shuffle
        self.step_images = batch_size * world
        self.images_per_epoch = count - count % self.step_images if drop_last else count
        self._epoch, self._skip = 1, 0

    def start(self, epoch: int, skip: int) -> None:
        """Make the next iteration return this epoch without its first `skip` images, a multiple of `step_images`."""
        if skip % self.step_images:
            raise UserError(
                f"the run stopped after {skip} images of epoch {epoch}, which is not a whole number of steps of "
                f"{self.step_images} images: resume it with its own --batch_size and number of processes"
            )
        self._epoch, self._skip = epoch, skip

    def __len__(self) -> int:
        return -(-self.images_per_epoch // self.step_images)

    def __iter__(self) -> Iterator[list[Key]]:
        epoch, order = self._epoch, list(range(self.count))
        if self.shuffle:
            generator = torch.Generator().manual_seed(mix(self.seed, epoch))
            order = torch.randperm(self.count, generator=generator).tolist()
        for first in range(self._skip + self.rank * self.batch_size, self.images_per_epoch, self.step_images):
            rows = range(first, min(first + self.batch_size, self.images_per_epoch))
            yield [(order[position], mix(self.seed, epoch, position)) for position in rows]
