"""Which images make up which batch: a pure function of seed and epoch, for any number of processes."""

import hashlib
from collections.abc import Iterator

import torch

from util.errors import UserError

Key = tuple[int, int]  # index of an item in the set, seed of its randomness


def mix(*numbers: int) -> int:
    """A seed of 63 bits that depends on all `numbers`, the same on every machine."""
    digest = hashlib.blake2b(repr(numbers).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


class EpochSampler:
    """The batches of one process, each a list of (index, item seed).

    All processes together see what a single one with batch `world * batch_size` sees: of each such joint
    batch, rank r gets rows [r * batch_size : (r + 1) * batch_size]. Without `drop_last`, the last joint
    batch may be short; the ranks that find no row in it get a batch less.

    Raises:
        UserError: the set is empty, or with `drop_last` smaller than one joint batch.
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
            spread = f" on {world} processes" if world > 1 else ""
            raise UserError(
                f"the data set has {count} images, too few for --batch_size {batch_size}{spread}; "
                "add images or lower --batch_size"
            )
        self.count, self.batch_size, self.seed = count, batch_size, seed
        self.shuffle, self.drop_last = shuffle, drop_last
        self.rank, self.world = rank, world
        self.step_images = batch_size * world
        self.images_per_epoch = count - count % self.step_images if drop_last else count
        self._epoch, self._skip = 1, 0

    def start(self, epoch: int, skip: int) -> None:
        """Make the next iteration give this epoch, without its first `skip` images over all ranks.

        Raises:
            UserError: `skip` lies within a joint batch.
        """
        if skip % self.step_images:
            raise UserError(
                f"the run stopped after {skip} images of epoch {epoch}, which is no multiple of the "
                f"{self.step_images} images of a step; go on with its --batch_size and number of processes"
            )
        self._epoch, self._skip = epoch, skip

    def __iter__(self) -> Iterator[list[Key]]:
        return self._batches(self._epoch, self._skip)

    def __len__(self) -> int:
        return -(-self.images_per_epoch // self.step_images)

    def order(self, epoch: int) -> list[int]:
        """The indices of the whole set in the order of this epoch."""
        if not self.shuffle:
            return list(range(self.count))
        generator = torch.Generator().manual_seed(mix(self.seed, epoch))
        return torch.randperm(self.count, generator=generator).tolist()

    def _batches(self, epoch: int, skip: int) -> Iterator[list[Key]]:
        order = self.order(epoch)[: self.images_per_epoch]
        for first in range(skip + self.rank * self.batch_size, len(order), self.step_images):
            rows = range(first, min(first + self.batch_size, len(order)))
            yield [(order[position], mix(self.seed, epoch, position)) for position in rows]
