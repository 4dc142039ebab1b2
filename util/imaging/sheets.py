"""Which noise and which label each picture of a sheet is made from; no model in here."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from util.errors import UserError
from util.noise import image_name, seeded_batch
from util.plugins import unknown

MOST_CLASSES = 10  # that are shown where nobody says which
SEEDS_OF_A_LOOP = 4
NEAREST_TO_OPPOSITE = -1 + 1e-6  # cosine; between opposite vectors no arc is the shortest


@dataclass(frozen=True)
class Plan:
    """What the sheets of a run are made of; a model without labels has `n_classes` 0.

    `classes` are those to show, none = the first ten, or in the grid all. `columns` seeds stand side by
    side, and interpolations have as many rows, in `steps`.
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
    def shown(self) -> tuple[int, ...]:
        """The classes that rows or columns go through."""
        return self.classes or tuple(range(min(self.n_classes, MOST_CLASSES)))

    def z(self, count: int) -> Tensor:
        """(count, z_dim) of the seeds from the first on."""
        return seeded_batch(self.seed, count, self.z_dim, self.truncation)

    def labels(self, places: Iterable[int], classes: Sequence[int] = ()) -> Tensor | None:
        """The class of each place, the shown ones in turn: int64 (N,); None for a model without labels."""
        classes = classes or self.shown
        return torch.tensor([classes[place % len(classes)] for place in places]) if self.n_classes else None

    def class_of_row(self, row: int) -> int:
        return self.shown[row % len(self.shown)]


@dataclass(frozen=True)
class Sheet:
    """The inputs of a picture, row by row: z (N, z_dim), label int64 (N,), float (N, n_classes) or None.

    `shows` names those of model.test's images that stand on it. `files` are names for the images one by
    one, none where they are not saved. With `fps` the rows are frames, so many a second.
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


def make(asked: Sequence[str], plan: Plan) -> list[Sheet]:
    """The sheets of these names, or of all that fit the plan where no name is given.

    Raises:
        UserError: a sheet does not exist, or needs more classes than there are to show.
    """
    for name in asked:
        if name not in SHEETS:
            raise UserError(unknown("--sheets", name, SHEETS))
        fewest = FEWEST_CLASSES.get(name, 0)
        if len(plan.shown) < fewest:
            there_is = f"only {len(plan.shown)} is shown" if plan.n_classes else "the model knows no labels"
            raise UserError(
                f"--sheets {name} needs {fewest} class{'es' * (fewest > 1)}, but {there_is}: leave it out"
            )
    fitting = [name for name in SHEETS if len(plan.shown) >= FEWEST_CLASSES.get(name, 0)]
    return [SHEETS[name](plan) for name in asked or fitting]


def most_seeds(columns: int) -> int:
    """How many seeds the largest sheet of so many columns takes."""
    return columns * max(columns, SEEDS_OF_A_LOOP)


# ---------------------------------------------------------------------- the sheets


def grid(plan: Plan) -> Sheet:
    count = plan.columns**2
    label = _own_labels(plan, count)
    caption = f"Seeds {_seeds(plan, count)}, row by row" + "; classes in turn" * bool(plan.n_classes)
    files = _own_names(plan.seed, count, label)
    return Sheet("grid", "Samples", caption, plan.z(count), label, plan.columns, files=files)


def attention(plan: Plan) -> Sheet:
    count = plan.columns
    caption = (
        f"Seeds {_seeds(plan, count)}, each once for every place marked green; "
        "bright is what the generator looks at from there"
    )
    label = _own_labels(plan, count)
    return Sheet("attention", "Attention", caption, plan.z(count), label, count, shows="attn_G")


def classes(plan: Plan) -> Sheet:
    rows, columns = len(plan.shown), plan.columns
    label = plan.labels(row for row in range(rows) for _ in range(columns))
    caption = f"Row: a class, {_some(plan.shown)}. Column: one z, of seeds {_seeds(plan, columns)}"
    return Sheet("classes", "Classes", caption, plan.z(columns).repeat(rows, 1), label, columns)


def interpolate_z(plan: Plan) -> Sheet:
    label = plan.labels(row for row in range(plan.columns) for _ in range(plan.steps))
    caption = f"Row: from the z of one seed to that of another, {_pairs_of_seeds(plan)}"
    caption += "; a class a row" * bool(plan.n_classes)
    return Sheet("interpolate_z", "Interpolation in z", caption, _arcs(plan), label, plan.steps)


def interpolate_label(plan: Plan) -> Sheet:
    z = plan.z(plan.columns).repeat_interleave(plan.steps, dim=0)
    caption = f"Row: one z, of seeds {_seeds(plan, plan.columns)}, from one class to the next, {_pairs_of_classes(plan)}"
    title = "Interpolation in the label"
    return Sheet("interpolate_label", title, caption, z, _mixtures(plan), plan.steps)


def interpolate_both(plan: Plan) -> Sheet:
    caption = (
        f"Row: from one seed to another, {_pairs_of_seeds(plan)}, and from one class to the next, "
        f"{_pairs_of_classes(plan)}"
    )
    title = "Interpolation in z and label"
    return Sheet("interpolate_both", title, caption, _arcs(plan), _mixtures(plan), plan.steps)


def truncation(plan: Plan) -> Sheet:
    values = sorted(plan.truncations)
    z = torch.cat([seeded_batch(plan.seed, plan.columns, plan.z_dim, value) for value in values])
    label = plan.labels(column for _ in values for column in range(plan.columns))
    cuts = ["not at all" if value == math.inf else f"{value:g}" for value in values]
    caption = f"Row: z cut off at {_some(cuts)}. Column: one seed, {_seeds(plan, plan.columns)}"
    return Sheet("truncation", "Truncation", caption, z, label, plan.columns)


def loop(plan: Plan, *, frames: int, fps: int) -> Sheet:
    """The frames of an animation: row = frame; each column goes round seeds of its own, the last frame on to the first."""
    stops = plan.z(plan.columns * SEEDS_OF_A_LOOP).unflatten(0, (plan.columns, SEEDS_OF_A_LOOP))
    legs = []
    for leg in range(SEEDS_OF_A_LOOP):
        here = torch.arange(frames, dtype=torch.float64) * SEEDS_OF_A_LOOP / frames - leg
        shares = here[(here >= 0) & (here < 1)]
        legs.append(slerp(stops[:, leg], stops[:, (leg + 1) % SEEDS_OF_A_LOOP], shares))
    z = torch.cat(legs, dim=1).transpose(0, 1).flatten(0, 1)
    label = plan.labels(column for _ in range(frames) for column in range(plan.columns))
    caption = f"Each image goes round {SEEDS_OF_A_LOOP} seeds, in {frames} frames"
    return Sheet("interpolation", "Interpolation, moving", caption, z, label, plan.columns, fps=fps)


# in the order of the page
SHEETS: dict[str, Callable[[Plan], Sheet]] = {
    "grid": grid,
    "classes": classes,
    "interpolate_z": interpolate_z,
    "interpolate_label": interpolate_label,
    "interpolate_both": interpolate_both,
    "truncation": truncation,
    "attention": attention,
}
FEWEST_CLASSES = {"classes": 1, "interpolate_label": 2, "interpolate_both": 2}


# ---------------------------------------------------------------------- what they are made of


def slerp(start: Tensor, end: Tensor, shares: Tensor) -> Tensor:
    """Along great circles from start to end: (N, D), (N, D), shares (S,) in [0, 1] -> (N, S, D).

    Noise lies on a shell, |z| near sqrt(D), and the straight line between two points of it cuts through
    the inside, where a net has never been in training (White, arXiv:1609.04468). So the direction turns
    evenly, and the length goes evenly from the one to the other.
    """
    a, b, t = start.double()[:, None], end.double()[:, None], shares.double()[None, :, None]
    angle = torch.acos(F.cosine_similarity(a, b, dim=2).clamp(NEAREST_TO_OPPOSITE, 1))[..., None] / math.pi
    # sin(share * angle) / sin(angle), at an angle of 0 as well
    from_a, from_b = (share * torch.sinc(share * angle) / torch.sinc(angle) for share in (1 - t, t))
    direction = from_a * F.normalize(a, dim=2) + from_b * F.normalize(b, dim=2)
    return (torch.lerp(a.norm(dim=2, keepdim=True), b.norm(dim=2, keepdim=True), t) * direction).float()


def _arcs(plan: Plan) -> Tensor:
    """From each second seed to the next one, in steps: (columns * steps, z_dim)."""
    z = plan.z(2 * plan.columns)
    return slerp(z[0::2], z[1::2], torch.linspace(0, 1, plan.steps)).flatten(0, 1)


def _mixtures(plan: Plan) -> Tensor:
    """From each shown class to the next one, in steps, as weights of classes: (columns * steps, n_classes)."""
    rows = [plan.class_of_row(row) for row in range(plan.columns + 1)]
    weights = F.one_hot(torch.tensor(rows), plan.n_classes).float()[:, None]
    return torch.lerp(weights[:-1], weights[1:], torch.linspace(0, 1, plan.steps)[:, None]).flatten(0, 1)


def _own_labels(plan: Plan, count: int) -> Tensor | None:
    """The labels that test.py gives the seeds."""
    return plan.labels(range(plan.seed, plan.seed + count), plan.classes or range(plan.n_classes))


def _own_names(seed: int, count: int, label: Tensor | None) -> tuple[str, ...]:
    """As the noise data set names them: seed000007.png, or seed000007_class03.png."""
    classes = [None] * count if label is None else label.tolist()
    return tuple(image_name(seed + place, number) for place, number in enumerate(classes))


# ---------------------------------------------------------------------- how they are described


def _seeds(plan: Plan, count: int) -> str:
    return f"{plan.seed} to {plan.seed + count - 1}" if count > 1 else str(plan.seed)


def _pairs_of_seeds(plan: Plan) -> str:
    starts = range(plan.seed, plan.seed + 2 * plan.columns, 2)
    return _some([f"{start} to {start + 1}" for start in starts], most=3)


def _pairs_of_classes(plan: Plan) -> str:
    pairs = [(plan.class_of_row(row), plan.class_of_row(row + 1)) for row in range(plan.columns)]
    return _some([f"{start} to {end}" for start, end in pairs], most=3)


def _some(items: Sequence[object], most: int = MOST_CLASSES) -> str:
    return ", ".join(map(str, items[:most])) + ", ..." * (len(items) > most)
