"""The flags, defaults and class attributes of plugins, read from their source without importing it or torch."""

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from util import plugins

DECLARATIONS = {"add_argument", "flag", "option"}  # the methods of the parser that add a flag
LIBRARIES = {"util", "torch", "torchvision", "numpy", "PIL"}
NO_FLAGS = LIBRARIES | set(sys.stdlib_module_names) | set(plugins.PACKAGES.values())  # packages without flags
COMPUTED = object()  # a value that is not a constant in the source


@dataclass
class Facts:
    """What plugins and the modules that they import may add.

    `complete` is False if they may add more: a name is computed, or a package is not known to add no flags.
    """

    flags: set[str] = field(default_factory=set)
    # option -> its default values; the key None: of any option
    defaults: dict[str | None, set[Any]] = field(default_factory=dict)
    attributes: dict[str, dict[str, Any]] = field(default_factory=dict)  # attribute -> class -> value
    classes: set[str] = field(default_factory=set)  # those of the plugins and their base classes
    complete: bool = True

    def may_set(self, option: str) -> bool:
        """Whether a plugin may change the default of an option."""
        return bool({option, None} & self.defaults.keys()) or not self.complete

    def says(self, attribute: str, value: Any) -> bool:
        """Whether a class attribute has this value, in a plugin's class and in its base classes."""
        values = [its for name, its in self.attributes.get(attribute, {}).items() if name in self.classes]
        return self.complete and bool(values) and all(each is value for each in values)


def read(paths: Iterable[Path], is_train: bool) -> Facts:
    """The facts about plugin files and the modules of models/, data/ or their own folder that they import."""
    facts, plugin_files, done = Facts(), set(paths), set()
    queue = list(plugin_files)
    while queue:
        path = queue.pop()
        if path in done:
            continue
        done.add(path)
        try:
            nodes = list(_walk(_parse(path.read_text(encoding="utf-8")), is_train))
        except (SyntaxError, UnicodeDecodeError):
            facts.complete = False
            continue
        for node in nodes:
            if isinstance(node, ast.Import | ast.ImportFrom):
                queue += _imported_files(facts, node, path.parent)
            elif isinstance(node, ast.ClassDef):
                _add_class(facts, node, is_plugin=path in plugin_files)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                _add_call(facts, node.func.attr, node)
        called = {node.func for node in nodes if isinstance(node, ast.Call)}
        passed_on = {node.attr for node in nodes if isinstance(node, ast.Attribute) and node not in called}
        facts.complete &= passed_on.isdisjoint(DECLARATIONS)
    return facts


def owners(flag: str) -> list[str]:
    """`--model pix2pix`, ... for each built-in plugin whose own file adds a flag."""
    return [
        f"--{plugins.FLAGS[kind]} {name}"
        for kind in plugins.PACKAGES
        for name, path in sorted(plugins.files(kind).items())
        if f'"{flag}"' in path.read_text(encoding="utf-8")
    ]


_parse = cache(ast.parse)


def _walk(node: ast.AST, is_train: bool) -> Iterator[ast.AST]:
    """As ast.walk, with only the branch of each `if is_train` that is taken."""
    yield node
    children: Iterable[ast.AST] = ast.iter_child_nodes(node)
    if isinstance(node, ast.If) and getattr(node.test, "id", "") == "is_train":
        children = node.body if is_train else node.orelse
    for child in children:
        yield from _walk(child, is_train)


def _imported_files(facts: Facts, node: ast.Import | ast.ImportFrom, folder: Path) -> Iterator[Path]:
    """The imported modules of models/, data/ or `folder` that may add flags."""
    for alias in node.names:
        modules = [alias.name]
        if isinstance(node, ast.ImportFrom):  # the name may be a module or an object of one
            modules = [f"{node.module}.{alias.name}", str(node.module)]
        package = modules[0].split(".")[0]
        root = plugins.ROOT if package in plugins.PACKAGES.values() else folder
        files = [file for name in modules if (file := root / f"{name.replace('.', '/')}.py").is_file()]
        facts.complete &= bool(files) or package in NO_FLAGS
        yield from (file for file in files if file.parent == folder or _adds_flags(file))


def _adds_flags(path: Path) -> bool:
    text = path.read_text(encoding="utf-8")
    return any(word in text for word in ("modify_commandline_options", "add_argument", "set_defaults"))


def _add_call(facts: Facts, method: str, call: ast.Call) -> None:
    if method in DECLARATIONS:
        words = call.args[:1] if method == "option" else call.args
        names = [getattr(word, "value", None) for word in words]
        facts.complete &= bool(names) and all(isinstance(name, str) for name in names)
        facts.flags |= {str(name) for name in names}
    elif method == "set_defaults":
        for keyword in call.keywords:
            facts.defaults.setdefault(keyword.arg, set()).add(getattr(keyword.value, "value", COMPUTED))


def _add_class(facts: Facts, node: ast.ClassDef, *, is_plugin: bool) -> None:
    facts.classes |= {ast.unparse(base).split(".")[-1] for base in node.bases}
    if is_plugin:
        facts.classes.add(node.name)
    for statement in node.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign):
            target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
            values = facts.attributes.setdefault(ast.unparse(target), {})
            values[node.name] = getattr(statement.value, "value", COMPUTED)
