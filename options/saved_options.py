"""Options in files: opt.json and train_opt.txt of a run, and the file of --config."""

import ast
import json
import math
from argparse import Namespace
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

from options.parser import Parser
from util.errors import UserError
from util.files import write_atomically

Options = dict[str, Any]


def read_config(path: str) -> Options:
    """A YAML (or JSON) file of options, `name: value`.

    Raises:
        UserError: no such file, not readable as YAML, or not a list of names and values.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"--config {path} cannot be read: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise UserError(f"--config {path} is not UTF-8 text: save it in that encoding") from error
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise UserError("--config needs the package pyyaml: pip install pyyaml") from error
    try:
        options = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise UserError(f"--config {path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(options, dict) or any(isinstance(value, dict) for value in options.values()):
        raise UserError(f"--config {path} must consist of lines of the form name: value, e.g. batch_size: 4")
    return {str(name).removeprefix("--"): value for name, value in options.items()}


def read_run(folder: Path) -> Options:
    """The options a run was trained with, from its opt.json or from upstream's train_opt.txt."""
    saved, upstream = folder / "opt.json", folder / "train_opt.txt"
    if saved.exists():
        try:
            options = json.loads(saved.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # ValueError: not UTF-8, or not JSON
            options = None
        if not isinstance(options, dict):
            raise UserError(
                f"{saved} is damaged: remove it, and repeat the run's options on the command line"
            )
        return options
    if upstream.exists():
        return _read_text_form(upstream.read_text(encoding="utf-8", errors="replace"))
    return {}


def save(opt: Namespace, parser: Parser, folder: Path, *, unsaved: Collection[str]) -> None:
    """Write `<phase>_opt.txt` and, in training, opt.json, in which the `unsaved` options are null."""
    text = describe(opt, parser) + "\n"
    # `test.py --phase train` must not overwrite the options of the training
    name = "test" if opt.phase == "train" and not opt.isTrain else opt.phase
    write_atomically(folder / f"{name}_opt.txt", text.encode(errors="surrogateescape"))
    if opt.isTrain:
        values = {name: "inf" if value == math.inf else value for name, value in vars(opt).items()}
        written = json.dumps(values | dict.fromkeys(unsaved), indent=1, sort_keys=True) + "\n"
        write_atomically(folder / "opt.json", written.encode())


def describe(opt: Namespace, parser: Parser) -> str:
    """The options in upstream's text form, with the default of each option that differs from its default."""
    lines = ["----------------- Options ---------------"]
    for name, value in sorted(vars(opt).items()):
        default = parser.get_default(name)
        comment = "" if value == default or default is None else f"\t[default: {default}]"
        lines.append(f"{name:>25}: {value!s:<30}{comment}")
    return "\n".join([*lines, "----------------- End -------------------"])


def _read_text_form(text: str) -> Options:
    """The inverse of `describe`; values other than lists remain text, which the parser converts."""
    options: Options = {}
    for line in text.splitlines():
        name, colon, value = line.partition(": ")
        value = value.split("\t")[0].strip()
        if colon and not line.startswith("-") and value not in ("", "None"):
            options[name.strip()] = value
            if value.startswith("["):
                with suppress(ValueError, SyntaxError):
                    options[name.strip()] = ast.literal_eval(value)
    return options
