"""The inputs of sample sheets: the noise and the label of every image.

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
MAX_PAIRS = 3  # named in a caption
MIN_COSINE = -1 + 1e-6  # there is no shortest arc between opposite vectors


@dataclass(frozen=True)
class Plan:
    """What the sheets are made from. `n_classes` is 0 for a model without labels.

    `classes` are the classes to show: by default the first ten, but all of them in the grid. A sheet has `columns`
    seeds side by side; an interpolation has `columns` rows of `steps` images.
    """

    z_dim: int
    n_classes: int = 0
    classes: tuple[int, ...] = ()
    seed: int = 0
    truncation: float = math.inf
    columns: int = 8
    steps: int = 8
    truncations: tuple[float, ...] = ()
    class_names: tuple[str, ...] = ()  # in order; classes without a name are shown by number

    def class_name(self, number: int) -> str:
        return self.class_names[number] if number < len(self.class_names) else str(number)

    @property
    def shown_classes(self) -> tuple[int, ...]:
        return self.classes or tuple(range(min(self.n_classes, MAX_CLASSES)))

    def z(self, count: int) -> Tensor:
        """Return z (count, z_dim) of the first `count` seeds."""
        return seeded_batch(self.seed, count, self.z_dim, self.truncation)

    def labels(self, indices: Iterable[int], classes: Sequence[int] = ()) -> Tensor | None:
        """Return a class for each index, in turn: int64 (N,); None for a model without labels."""
        classes = classes or self.shown_classes
        return torch.tensor([classes[index % len(classes)] for index in indices]) if self.n_classes else None

    def seed_labels(self, count: int) -> Tensor | None:
        """Return the labels of the first `count` seeds, the same as in test.py."""
        return self.labels(range(self.seed, self.seed + count), self.classes or range(self.n_classes))

    def seed_range(self, count: int) -> str:
        return f"{self.seed} to {self.seed + count - 1}" if count > 1 else str(self.seed)


@dataclass(frozen=True)
class Sheet:
    """The inputs of a sheet, row by row: z (N, z_dim); label int64 (N,), float (N, n_classes) or None.

    `shows` is the key of the model's visuals to draw. `files` are the file names of the images that are also
    saved separately. With `fps` > 0 the rows are the frames of an animation.
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


def make(names: Sequence[str], plan: Plan, flag: str = "--sheets") -> list[Sheet]:
    """Return the sheets with these names, given by `flag`; without names, all that fit the plan.

    Raises UserError if there is no such sheet, or if it needs more classes than the plan shows.
    """
    shown = len(plan.shown_classes)
    for name in names:
        if name not in SHEETS:
            raise UserError(unknown(flag, name, SHEETS))
        if shown < (needed := MIN_CLASSES.get(name, 0)):
            reason = f"at least {needed} classes, and the model has or --labels selects {shown}"
            raise UserError(f"{flag} {name} needs {reason}: leave this sheet out")
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
    count, label = plan.columns, plan.seed_labels(plan.columns)
    caption = f"Seeds {plan.seed_range(count)}. Bright: what the generator attends to from the green point"
    return Sheet("attention", "Attention", caption, plan.z(count), label, count, shows="attn_G")


def classes(plan: Plan) -> Sheet:
    rows, columns = len(plan.shown_classes), plan.columns
    z = plan.z(columns).repeat(rows, 1)
    label = plan.labels(row for row in range(rows) for _ in range(columns))
    names = _join([plan.class_name(number) for number in plan.shown_classes], 10)
    caption = f"Rows: classes {names}. Columns: seeds {plan.seed_range(columns)}"
    return Sheet("classes", "Classes", caption, z, label, columns)


def interpolate_z(plan: Plan) -> Sheet:
    label = plan.labels(row for row in range(plan.columns) for _ in range(plan.steps))
    z, seeds = _arcs(plan)
    caption = f"Rows: {seeds}" + "; one class per row" * bool(plan.n_classes)
    return Sheet("interpolate_z", "Interpolation in z", caption, z, label, plan.steps)


def interpolate_label(plan: Plan) -> Sheet:
    z = plan.z(plan.columns).repeat_interleave(plan.steps, dim=0)
    label, classes = _mixtures(plan)
    caption = f"Rows: one seed each, {plan.seed_range(plan.columns)}, {classes}"
    return Sheet("interpolate_label", "Interpolation in the label", caption, z, label, plan.steps)


def interpolate_both(plan: Plan) -> Sheet:
    (z, seeds), (label, classes) = _arcs(plan), _mixtures(plan)
    caption = f"Rows: {seeds}, and {classes}"
    return Sheet("interpolate_both", "Interpolation in z and label", caption, z, label, plan.steps)


def truncation(plan: Plan) -> Sheet:
    values = sorted(plan.truncations)
    z = torch.cat([seeded_batch(plan.seed, plan.columns, plan.z_dim, value) for value in values])
    label = plan.labels(column for _ in values for column in range(plan.columns))
    limits = _join(["none" if value == math.inf else f"{value:g}" for value in values], 10)
    caption = f"Rows: truncation of z, {limits}. Columns: seeds {plan.seed_range(plan.columns)}"
    return Sheet("truncation", "Truncation", caption, z, label, plan.columns)


def loop(plan: Plan, *, frames: int, fps: int) -> Sheet:
    """The frames of an animation, one per row. Each column moves through its own seeds and back to the first."""
    seeds = plan.z(plan.columns * SEEDS_PER_LOOP).unflatten(0, (plan.columns, SEEDS_PER_LOOP))
    position = torch.arange(frames, dtype=torch.float64) * SEEDS_PER_LOOP / frames  # in seeds
    start = position.long()
    path = slerp(seeds[:, start], seeds[:, (start + 1) % SEEDS_PER_LOOP], position - start)
    z = path.transpose(0, 1).flatten(0, 1)
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
    """Interpolate along great circles: (N, S or 1, D), (N, S or 1, D), fractions (S,) in [0, 1] -> (N, S, D).

    Noise lies near a sphere of radius sqrt(D), and a straight line would pass through regions that the network
    has not seen in training (White, arXiv:1609.04468). The length is interpolated linearly.
    """
    a, b, t = start.double(), end.double(), fractions.double()[:, None]
    angle = torch.acos(F.cosine_similarity(a, b, dim=2).clamp(MIN_COSINE, 1))[..., None] / math.pi
    # sin(share * angle) / sin(angle), defined for angle 0 as well
    from_a, from_b = (share * torch.sinc(share * angle) / torch.sinc(angle) for share in (1 - t, t))
    direction = from_a * F.normalize(a, dim=2) + from_b * F.normalize(b, dim=2)
    return (torch.lerp(a.norm(dim=2, keepdim=True), b.norm(dim=2, keepdim=True), t) * direction).float()


def _arcs(plan: Plan) -> tuple[Tensor, str]:
    """For each row, z (columns * steps, z_dim) on the way from one seed to the next; and the caption."""
    z = plan.z(2 * plan.columns)
    arcs = slerp(z[0::2, None], z[1::2, None], torch.linspace(0, 1, plan.steps)).flatten(0, 1)
    seeds = range(plan.seed, plan.seed + 2 * plan.columns, 2)
    return arcs, "from one seed to another, " + _join([f"{seed} to {seed + 1}" for seed in seeds], MAX_PAIRS)


def _mixtures(plan: Plan) -> tuple[Tensor, str]:
    """For each row, weights (columns * steps, n_classes) from one class to the next; and the caption."""
    shown = plan.shown_classes
    pairs = [(shown[row % len(shown)], shown[(row + 1) % len(shown)]) for row in range(plan.columns)]
    start, end = F.one_hot(torch.tensor(pairs), plan.n_classes).float()[:, None].unbind(2)
    names = [f"{plan.class_name(a)} to {plan.class_name(b)}" for a, b in pairs]
    mixtures = torch.lerp(start, end, torch.linspace(0, 1, plan.steps)[:, None]).flatten(0, 1)
    return mixtures, "from one class to the next, " + _join(names, MAX_PAIRS)


def _join(items: Sequence[object], limit: int) -> str:
    return ", ".join(map(str, items[:limit])) + ", ..." * (len(items) > limit)
