"""The registry of network families: what `--netG` and `--netD` can name, and which images each family takes.

A family is one file in models/nets/ that describes itself in a module-level statement:

    register(Family("name", "one line for --help", generator=build, ...))

All files of the folder are found. names() reads the name and the description from their text, without importing torch,
so both must be string literals.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from util import plugins
from util.errors import UserError

if TYPE_CHECKING:
    from torch import nn

FOLDER = Path(__file__).parent
Kind = Literal["generator", "discriminator"]
Source = Literal["image", "noise"]


@dataclass(frozen=True)
class Family:
    """One name for `--netG`, `--netD` or both.

    With source "image", `generator` is called as (input_nc, output_nc, ngf, norm_layer, use_dropout) and
    `discriminator` as (input_nc, ndf, n_layers, norm_layer). With source "noise" they are called with those of the
    keywords size, norm, n_classes, z_dim, output_nc, ngf (D: input_nc, ndf) that they have, and further keywords.
    """

    name: str
    description: str
    generator: Callable[..., nn.Module] | None = None
    discriminator: Callable[..., nn.Module] | None = None
    source: Source = "image"  # what the generator starts from
    sizes: tuple[int, ...] = ()  # sides in pixels that there are architectures for; empty = any
    side_multiple: int = 1  # sides in pixels must be multiples of it
    smallest_side: int | Callable[[int], int] = 1  # in pixels, or a function of --n_layers_D
    attention_places: tuple[str, ...] = ()  # names of the layers that attention can follow
    # image side in pixels -> sides of the features that attention follows by default, in G and in D
    default_attention: Callable[[int], tuple[tuple[int, ...], tuple[int, ...]]] = lambda size: ((), ())

    def why_not(self, side: int, n_layers: int = 3) -> str:
        """What is wrong with images of `side` pixels and which flag helps; empty if the family takes them."""
        if self.sizes and side not in self.sizes:
            known = " or ".join(map(str, self.sizes))
            return f"has no architecture for {side} pixels: use --crop_size {known}"
        multiple = self.side_multiple
        if side % multiple:
            near = max(multiple, round(side / multiple) * multiple)
            return (
                f"needs images whose sides are multiples of {multiple}, not {side} pixels: "
                f"use --load_size {near} --crop_size {near}"
            )
        smallest, remedy = self.smallest_side, "use a larger --crop_size"
        if callable(smallest):
            smallest, remedy = smallest(n_layers), f"{remedy}, a smaller --n_layers_D"
        return f"needs images of at least {smallest} pixels, not {side}: {remedy}" if side < smallest else ""


FAMILIES: dict[str, Family] = {}
_files: dict[str, str] = {}  # name of a family -> the file that registered it
POSITIONS = ("name", "description", "generator", "discriminator", "source")  # of Family's first arguments


def register(*families: Family) -> None:
    """Add families to FAMILIES.

    Raises:
        ValueError: a name is taken.
    """
    path = sys._getframe(1).f_code.co_filename
    for family in families:
        if family.name in FAMILIES:
            raise ValueError(
                f"there are two network families called {family.name!r}, in {_files[family.name]} and in {path}"
            )
        FAMILIES[family.name], _files[family.name] = family, path


def load() -> None:
    """Import every file of models/nets, so that FAMILIES is complete.

    Raises:
        UserError: a file cannot be imported, or names() cannot find a family that it registers.
    """
    for path in sorted(FOLDER.glob("*.py")):
        plugins.import_file(f"models.nets.{path.stem}", path)
    readable = names("generator") | names("discriminator")
    for name in FAMILIES:
        if name not in readable:
            raise _unreadable(_files[name])


def names(kind: Kind, source: Source | None = None) -> dict[str, str]:
    """Name -> description of every family that has a `kind` and starts from `source`; imports nothing.

    Raises:
        UserError: a name, description or source is not a literal.
    """
    found = {}
    for path in sorted(FOLDER.glob("*.py")):
        for call in _registrations(path):
            fields = dict(zip(POSITIONS, call.args, strict=False)) | {
                each.arg: each.value for each in call.keywords
            }
            try:
                starts_from = ast.literal_eval(fields["source"]) if "source" in fields else "image"
                name, description = (ast.literal_eval(fields[field]) for field in POSITIONS[:2])
            except (KeyError, ValueError) as error:
                raise _unreadable(path) from error
            if kind in fields and source in (None, starts_from):
                found[name] = description
    return found


_parse = cache(ast.parse)  # a start asks for the names twenty times


def _registrations(path: Path) -> Iterator[ast.Call]:
    """The calls `Family(...)` in the module-level `register(...)` statements of a file."""
    try:
        statements = _parse(path.read_text(encoding="utf-8")).body
    except SyntaxError as error:
        raise UserError(f"{path}, line {error.lineno}: {error.msg}") from error
    for statement in statements:
        match statement:
            case ast.Expr(ast.Call(func=ast.Name("register"), args=calls)):
                yield from (call for call in calls if isinstance(call, ast.Call))


def _unreadable(path: Any) -> UserError:
    return UserError(
        f"{path}: --help cannot read a network family; at module level, write register(Family(NAME, DESCRIPTION, ...)) "
        "with string literals as name and description"
    )
