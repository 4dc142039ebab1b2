"""Finding a plugin class by kind and name: in the built-in package first, then in the folders of --plugin_path."""

import ast
import importlib
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from util.cli.suggest import unknown
from util.errors import NEEDED, ROOT, UserError, how_to_install, line_of, not_installed

PACKAGES = {"model": "models", "dataset": "data"}
FLAGS = {"model": "model", "dataset": "dataset_mode"}  # kind -> the option that names a plugin of it
BASE_FILES = {"base_model.py", "latent_model.py", "base_dataset.py"}  # base classes, which no flag can choose


def find(kind: str, name: str, folders: Sequence[str] = ()) -> Any:
    """The class `<Name><Kind>` of `<name>_<kind>.py`; underscores and letter case are ignored.

    Raises:
        UserError: there is no such plugin, its file cannot be imported, or it has no such class.
    """
    path = file(kind, name, folders)
    class_name = f"{name.replace('_', '')}{kind}".lower()
    base = f"Base{kind.capitalize()}"
    for attribute, value in vars(_import(kind, path)).items():
        # names of base classes are compared, because `util` cannot import the classes
        is_plugin = inspect.isclass(value) and base in [ancestor.__name__ for ancestor in value.__mro__[1:]]
        if is_plugin and attribute.lower() == class_name:
            missing = ", ".join(sorted(getattr(value, "__abstractmethods__", ())))
            if missing:
                raise UserError(f"{path}: class {attribute} must define {missing}, as {base} requires")
            return value
    title = "".join(part.capitalize() for part in name.split("_")) + kind.capitalize()
    raise UserError(f"{path} must define a class {title} that subclasses {base}, and it does not")


def available(kind: str, folders: Sequence[str] = ()) -> dict[str, str]:
    """Name -> first line of the file's docstring, for every plugin of a kind; nothing is imported."""
    return {name: _first_line(path) for name, path in sorted(files(kind, folders).items())}


def files(kind: str, folders: Sequence[str] = ()) -> dict[str, Path]:
    """Name -> file of every plugin of a kind; a file in `folders` cannot replace a built-in plugin."""
    found: dict[str, Path] = {}
    for folder in [ROOT / PACKAGES[kind], *map(Path, folders)]:
        if not folder.is_dir():
            raise UserError(f"--plugin_path {folder}: there is no such folder")
        for path in sorted(folder.glob(f"*_{kind}.py")):
            if path.name not in BASE_FILES:
                found.setdefault(path.name.removesuffix(f"_{kind}.py"), path)
    return found


def file(kind: str, name: str, folders: Sequence[str] = ()) -> Path:
    """The file of a plugin; nothing is imported.

    Raises:
        UserError: there is no such plugin.
    """
    known = files(kind, folders)
    if name not in known:
        raise UserError(unknown(f"--{FLAGS[kind]}", name, known))
    return known[name]


def _import(kind: str, path: Path) -> ModuleType:
    if path.parent == ROOT / PACKAGES[kind]:
        module_name = f"{PACKAGES[kind]}.{path.stem}"
    else:
        # a top-level module, so that the processes that load data can unpickle its classes
        module_name = path.stem
        if str(path.parent.resolve()) not in sys.path:
            sys.path.append(str(path.parent.resolve()))
    return import_file(module_name, path)


def import_file(module_name: str, path: Path) -> ModuleType:
    """Import the module of a plugin or a network family.

    Raises:
        UserError: it cannot be imported; the sentence names `path`.
    """
    try:
        return importlib.import_module(module_name)
    except UserError:
        raise
    except ModuleNotFoundError as error:
        package = str(error.name).split(".")[0]
        if (ROOT / package).is_dir():
            raise UserError(f"{path} imports {error.name}, which does not exist") from error
        if package in NEEDED:
            raise not_installed(package) from error
        raise UserError(f"{path} needs the package {package}: {how_to_install(package)}") from error
    except Exception as error:
        place = line_of(error, lambda file: file.name == path.name) or path
        raise UserError(f"{place} does not import: {type(error).__name__}: {error}") from error


def _first_line(path: Path) -> str:
    try:
        doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    except (SyntaxError, UnicodeDecodeError):
        return "(does not parse)"
    return (doc or "").split("\n", 1)[0]
