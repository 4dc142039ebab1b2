"""Options in files: opt.json and train_opt.txt of a run, and the file of --config."""

import ast
import errno
import json
import math
from argparse import Namespace
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

from options.parser import Parser
from util.errors import UserError, one_line
from util.files import open_regular, write_atomically

Options = dict[str, Any]
LARGEST_FILE = 1 << 18  # bytes; a file of options has about 3,000
YAML_CONSTANTS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF"), "inf"),
}


def read_config(path: str) -> Options:
    """A YAML (or JSON) file of options, `name: value`.

    Raises:
        UserError: no such file, not readable as YAML, or not a list of names and values.
    """
    try:
        text = _read_text(Path(path))
    except OSError as error:
        raise UserError(f"--config {path} cannot be read: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise UserError(f"--config {path} is not UTF-8 text: save it in that encoding") from error
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise UserError("--config needs the package pyyaml: pip install pyyaml") from error
    try:
        # all values stay text, which the flags convert: `off` is not false, and long numbers cost no time
        options = yaml.load(text, yaml.BaseLoader) or {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: no character of that number
        raise UserError(f"--config {path} is not valid YAML: {one_line(error)}") from error
    items = options.items() if isinstance(options, dict) else [("", options)]
    if not all(isinstance(name, str) and _is_plain(value) for name, value in items):
        raise UserError(f"--config {path} must consist of lines of the form name: value, e.g. batch_size: 4")
    return {name.removeprefix("--"): YAML_CONSTANTS.get(str(value), value) for name, value in items}


def _is_plain(value: Any) -> bool:
    """Whether a value of a YAML file is a text or a list of texts."""
    return isinstance(value, str) or (
        isinstance(value, list) and all(isinstance(item, str) for item in value)
    )


def read_run(folder: Path) -> Options:
    """The options a run was trained with, from its opt.json or from upstream's train_opt.txt."""
    saved, upstream = folder / "opt.json", folder / "train_opt.txt"
    if saved.exists():
        try:
            options = json.loads(_read_text(saved))
        except (OSError, ValueError, RecursionError):  # ValueError: not UTF-8, or not JSON
            options = None
        if not isinstance(options, dict):
            raise UserError(
                f"{saved} is damaged: remove it, and repeat the run's options on the command line"
            )
        return options
    if upstream.exists():
        try:
            return _read_text_form(_read_text(upstream, errors="replace"))
        except OSError as error:
            raise UserError(f"{upstream} cannot be read: {error.strerror}") from error
    return {}


def _read_text(path: Path, errors: str = "strict") -> str:
    """The text of a small regular file; anything else is an OSError, which a pipe without a writer is at once."""
    with open_regular(path) as file:
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise OSError(errno.EFBIG, f"it is larger than {LARGEST_FILE} bytes")
    return content.decode(errors=errors)


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
                with suppress(ValueError, SyntaxError, RecursionError, MemoryError):
                    options[name.strip()] = ast.literal_eval(value)
    return options
