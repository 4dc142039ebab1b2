"""The inputs of sample sheets: the noise and the label of every image, without a model.

To add a sheet, write a function from Plan to Sheet and add it to SHEETS.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from util.errors import UserError
from util.noise import image_name, seeded_batch
from util.plugins import unknown

MAX_CLASSES = 10  # shown by default
SEEDS_PER_LOOP = 4
MIN_COSINE = -1 + 1e-6  # there is no shortest arc between opposite vectors


@dataclass(frozen=True)
class Plan:
    """What the sheets of a run are made from. `n_classes` is 0 for a model without labels.

    `classes` are the classes to show; by default the first ten, and all of them in the grid. A sheet has
    `columns` seeds side by side; an interpolation has `columns` rows of `steps` images.
    """

    z_dim: int
    n_classes: int = 0
    classes: tuple[int, ...] = ()
    seed: int = 0
    truncation: float = math.inf
    columns: int = 8
    steps: int = 8
    truncations: tuple[float, ...] = ()

    @property
    def shown_classes(self) -> tuple[int, ...]:
        return self.classes or tuple(range(min(self.n_classes, MAX_CLASSES)))

    @property
    def seed_pairs(self) -> list[tuple[int, int]]:
        """The two seeds of each row of an interpolation."""
        return [(seed, seed + 1) for seed in range(self.seed, self.seed + 2 * self.columns, 2)]

    @property
    def class_pairs(self) -> list[tuple[int, int]]:
        """The two classes of each row of an interpolation."""
        shown = self.shown_classes
        return [(shown[row % len(shown)], shown[(row + 1) % len(shown)]) for row in range(self.columns)]

    def z(self, count: int) -> Tensor:
        """Return z (count, z_dim) of the first `count` seeds."""
        return seeded_batch(self.seed, count, self.z_dim, self.truncation)

    def labels(self, indices: Iterable[int], classes: Sequence[int] = ()) -> Tensor | None:
        """Return a class for each index, in turn: int64 (N,); None for a model without labels."""
        classes = classes or self.shown_classes
        return torch.tensor([classes[index % len(classes)] for index in indices]) if self.n_classes else None

    def seed_labels(self, count: int) -> Tensor | None:
        """Return the labels that test.py gives to the first `count` seeds."""
        return self.labels(range(self.seed, self.seed + count), self.classes or range(self.n_classes))

    def seed_range(self, count: int) -> str:
        return f"{self.seed} to {self.seed + count - 1}" if count > 1 else str(self.seed)


@dataclass(frozen=True)
class Sheet:
    """The inputs of a sheet, row by row: z (N, z_dim); label int64 (N,), float (N, n_classes) or None.

    `shows` is the label of the model's images to draw. `files` are file names for the single images, empty
    if they are not saved. With `fps` > 0 the rows are the frames of an animation.
    """

    name: str
    title: str
    caption: str
    z: Tensor
    label: Tensor | None
    columns: int
    shows: str = "fake"
    files: tuple[str, ...] = ()
    fps: int = 0


def make(names: Sequence[str], plan: Plan) -> list[Sheet]:
    """Return the sheets with these names; without names, all that fit the plan.

    Raises:
        UserError: a sheet does not exist, or needs more classes than the plan shows.
    """
    shown = len(plan.shown_classes)
    for name in names:
        if name not in SHEETS:
            raise UserError(unknown("--sheets", name, SHEETS))
        needed = MIN_CLASSES.get(name, 0)
        if shown < needed:
            reason = f"only {shown} is shown" if plan.n_classes else "the model knows no labels"
            classes = "1 class" if needed == 1 else f"{needed} classes"
            raise UserError(f"--sheets {name} needs {classes}, but {reason}: leave it out")
    return [SHEETS[name](plan) for name in names or SHEETS if shown >= MIN_CLASSES.get(name, 0)]


def most_seeds(columns: int) -> int:
    """Return how many seeds the largest sheet with this many columns uses."""
    return columns * max(columns, SEEDS_PER_LOOP)


def grid(plan: Plan) -> Sheet:
    count = plan.columns**2
    label = plan.seed_labels(count)
    classes: Sequence[int | None] = [None] * count if label is None else label.tolist()
    files = tuple(image_name(plan.seed + index, number) for index, number in enumerate(classes))
    caption = f"Seeds {plan.seed_range(count)}, row by row" + "; classes in turn" * bool(plan.n_classes)
    return Sheet("grid", "Samples", caption, plan.z(count), label, plan.columns, files=files)


def attention(plan: Plan) -> Sheet:
    count = plan.columns
    caption = (
        f"Seeds {plan.seed_range(count)}; bright regions are what the generator attends to from a green point"
    )
    label = plan.seed_labels(count)
    return Sheet("attention", "Attention", caption, plan.z(count), label, count, shows="attn_G")


def classes(plan: Plan) -> Sheet:
    rows, columns = len(plan.shown_classes), plan.columns
    z = plan.z(columns).repeat(rows, 1)
    label = plan.labels(row for row in range(rows) for _ in range(columns))
    caption = f"Rows: classes {_listed(plan.shown_classes, 10)}. Columns: seeds {plan.seed_range(columns)}"
    return Sheet("classes", "Classes", caption, z, label, columns)


def interpolate_z(plan: Plan) -> Sheet:
    label = plan.labels(row for row in range(plan.columns) for _ in range(plan.steps))
    caption = f"Rows: from one seed to another, {_listed_pairs(plan.seed_pairs)}"
    caption += "; one class per row" * bool(plan.n_classes)
    return Sheet("interpolate_z", "Interpolation in z", caption, _arcs(plan), label, plan.steps)


def interpolate_label(plan: Plan) -> Sheet:
    z = plan.z(plan.columns).repeat_interleave(plan.steps, dim=0)
    seeds, pairs = plan.seed_range(plan.columns), _listed_pairs(plan.class_pairs)
    caption = f"Rows: one seed each, {seeds}, from one class to the next, {pairs}"
    return Sheet("interpolate_label", "Interpolation in the label", caption, z, _mixtures(plan), plan.steps)


def interpolate_both(plan: Plan) -> Sheet:
    seeds, pairs = _listed_pairs(plan.seed_pairs), _listed_pairs(plan.class_pairs)
    caption = f"Rows: from one seed to another, {seeds}, and from one class to the next, {pairs}"
    title = "Interpolation in z and label"
    return Sheet("interpolate_both", title, caption, _arcs(plan), _mixtures(plan), plan.steps)


def truncation(plan: Plan) -> Sheet:
    values = sorted(plan.truncations)
    z = torch.cat([seeded_batch(plan.seed, plan.columns, plan.z_dim, value) for value in values])
    label = plan.labels(column for _ in values for column in range(plan.columns))
    limits = _listed(["none" if value == math.inf else f"{value:g}" for value in values], 10)
    caption = f"Rows: truncation of z, {limits}. Columns: seeds {plan.seed_range(plan.columns)}"
    return Sheet("truncation", "Truncation", caption, z, label, plan.columns)


def loop(plan: Plan, *, frames: int, fps: int) -> Sheet:
    """The frames of an animation, one per row. Each column moves through its own seeds back to the first."""
    seeds = plan.z(plan.columns * SEEDS_PER_LOOP).unflatten(0, (plan.columns, SEEDS_PER_LOOP))
    position = torch.arange(frames, dtype=torch.float64) * SEEDS_PER_LOOP / frames  # in seeds
    arcs = []
    for start in range(SEEDS_PER_LOOP):
        fractions = position[(position >= start) & (position < start + 1)] - start
        arcs.append(slerp(seeds[:, start], seeds[:, (start + 1) % SEEDS_PER_LOOP], fractions))
    z = torch.cat(arcs, dim=1).transpose(0, 1).flatten(0, 1)
    label = plan.labels(column for _ in range(frames) for column in range(plan.columns))
    caption = f"Each image moves through {SEEDS_PER_LOOP} seeds, in {frames} frames"
    return Sheet("interpolation", "Animated interpolation", caption, z, label, plan.columns, fps=fps)


# name -> function, in the order of the page
SHEETS: dict[str, Callable[[Plan], Sheet]] = {
    sheet.__name__: sheet
    for sheet in (grid, classes, interpolate_z, interpolate_label, interpolate_both, truncation, attention)
}
MIN_CLASSES = {"classes": 1, "interpolate_label": 2, "interpolate_both": 2}


def slerp(start: Tensor, end: Tensor, fractions: Tensor) -> Tensor:
    """Interpolate along great circles: (N, D), (N, D), fractions (S,) in [0, 1] -> (N, S, D).

    Noise lies near a sphere of radius sqrt(D). The straight line between two points leaves it for a region
    that the network has not seen in training (White, arXiv:1609.04468). So the direction is interpolated on
    the sphere, and the length linearly.
    """
    a, b, t = start.double()[:, None], end.double()[:, None], fractions.double()[None, :, None]
    angle = torch.acos(F.cosine_similarity(a, b, dim=2).clamp(MIN_COSINE, 1))[..., None] / math.pi
    # sin(share * angle) / sin(angle), defined for angle 0 as well
    from_a, from_b = (share * torch.sinc(share * angle) / torch.sinc(angle) for share in (1 - t, t))
    direction = from_a * F.normalize(a, dim=2) + from_b * F.normalize(b, dim=2)
    return (torch.lerp(a.norm(dim=2, keepdim=True), b.norm(dim=2, keepdim=True), t) * direction).float()


def _arcs(plan: Plan) -> Tensor:
    """From one seed of each pair to the other, in steps: (columns * steps, z_dim)."""
    z = plan.z(2 * plan.columns)
    return slerp(z[0::2], z[1::2], torch.linspace(0, 1, plan.steps)).flatten(0, 1)


def _mixtures(plan: Plan) -> Tensor:
    """From one class of each pair to the other, as class weights: (columns * steps, n_classes)."""
    start, end = F.one_hot(torch.tensor(plan.class_pairs), plan.n_classes).float()[:, None].unbind(2)
    return torch.lerp(start, end, torch.linspace(0, 1, plan.steps)[:, None]).flatten(0, 1)


def _listed(items: Sequence[object], limit: int) -> str:
    return ", ".join(map(str, items[:limit])) + ", ..." * (len(items) > limit)


def _listed_pairs(pairs: Sequence[tuple[int, int]]) -> str:
    return _listed([f"{start} to {end}" for start, end in pairs], 3)
