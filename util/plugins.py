"""Finding a plugin class by kind and name: the built-in package first, then the person's folders."""

import ast
import difflib
import gc
import importlib
import inspect
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from util.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {"model": "models", "dataset": "data"}
PARTS = {"model": "model", "dataset": "dataset_mode"}  # kind -> the flag that names one
CONTRACT_FILES = {"base_model.py", "latent_model.py", "base_dataset.py"}  # what plugins stand on


def find(kind: str, name: str, folders: Sequence[str] = ()) -> Any:
    """The class `<Name><Kind>` of `<name>_<kind>.py`; underscores and letter case do not count.

    Raises:
        UserError: no such plugin, its file does not import, or holds no such class.
    """
    path = file(kind, name, folders)
    module = _import(kind, path)
    wanted = f"{name.replace('_', '')}{kind}".lower()
    base = f"Base{kind.capitalize()}"
    for attribute, found in vars(module).items():
        if inspect.isclass(found) and attribute.lower() == wanted and _descends(found, base):
            missing = ", ".join(sorted(getattr(found, "__abstractmethods__", ())))
            if missing:
                raise UserError(f"{path}: class {attribute} must define {missing}, as {base} says")
            return found
    title = "".join(part.capitalize() for part in name.split("_")) + kind.capitalize()
    raise UserError(f"{path} must define a class {title} that subclasses {base}; it has none")


def available(kind: str, folders: Sequence[str] = ()) -> dict[str, str]:
    """Name -> first line of its file's docstring, read without importing anything."""
    return {name: _first_line(path) for name, path in sorted(files(kind, folders).items())}


def files(kind: str, folders: Sequence[str] = ()) -> dict[str, Path]:
    """Name -> file, of every plugin of a kind; a built-in name cannot be taken by another folder."""
    found: dict[str, Path] = {}
    for folder in [ROOT / PACKAGES[kind], *map(Path, folders)]:
        if not folder.is_dir():
            raise UserError(f"--plugin_path {folder}: there is no such folder")
        for path in sorted(folder.glob(f"*_{kind}.py")):
            if path.name not in CONTRACT_FILES:
                found.setdefault(path.name.removesuffix(f"_{kind}.py"), path)
    return found


def file(kind: str, name: str, folders: Sequence[str] = ()) -> Path:
    """Where a plugin is; nothing is imported.

    Raises:
        UserError: there is no such plugin.
    """
    known = files(kind, folders)
    if name not in known:
        raise UserError(unknown(f"--{PARTS[kind]}", name, known))
    return known[name]


def flags() -> set[str]:
    """Every flag that our plugins can add, and some more: all that their text, and what they stand on, names."""
    paths = (path for package in PACKAGES.values() for path in (ROOT / package).glob("*.py"))
    return {flag for path in paths for flag in re.findall(r'"(--\w+)"', path.read_text(encoding="utf-8"))}


def with_flag(flag: str) -> list[str]:
    """`--model pix2pix`, ... for each of our plugins that adds a flag, told from its text alone."""
    return [
        f"--{PARTS[kind]} {name}"
        for kind in PACKAGES
        for name, path in sorted(files(kind).items())
        if f'"{flag}"' in path.read_text(encoding="utf-8")
    ]


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """The one sentence about a name that nobody has, with the nearest and all known ones."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"{what} {name} is unknown; {hint}known: {', '.join(known)}"


def _import(kind: str, path: Path) -> ModuleType:
    if path.parent == ROOT / PACKAGES[kind]:
        module_name = f"{PACKAGES[kind]}.{path.stem}"
    else:
        # importable by its plain name, so that data loader workers can unpickle its classes
        module_name = path.stem
        if str(path.parent.resolve()) not in sys.path:
            sys.path.append(str(path.parent.resolve()))
    try:
        _load_torch()
        return importlib.import_module(module_name)
    except UserError:
        raise
    except ModuleNotFoundError as error:
        package = str(error.name).split(".")[0]
        if (ROOT / package).is_dir():
            raise UserError(f"{path} imports {error.name}, which does not exist") from error
        raise UserError(f"{path} needs the package {package}: pip install {package}") from error
    except Exception as error:
        raise UserError(f"{path} does not import: {type(error).__name__}: {error}") from error


def _load_torch() -> None:
    """Import what every plugin stands on without the search for garbage, which finds none in half a million objects.

    They are not looked at again later, neither in training nor at the end of the program.
    """
    if "torch" not in sys.modules:
        gc.disable()
        try:
            importlib.import_module("torch")
        finally:
            gc.freeze()
            gc.enable()


def _descends(found: type, base: str) -> bool:
    """Told by name, since this room does not know the classes that plugins stand on."""
    return base in (ancestor.__name__ for ancestor in found.__mro__[1:])


def _first_line(path: Path) -> str:
    try:
        doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    except (SyntaxError, UnicodeDecodeError):
        return "(does not parse)"
    return (doc or "").split("\n", 1)[0]
