"""What the source of plugins says about their flags, read without importing it, and so without torch."""

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from util import plugins

# packages that add no flags
NO_FLAGS = {
    *sys.stdlib_module_names,
    *plugins.PACKAGES.values(),
    "util",
    "torch",
    "torchvision",
    "numpy",
    "PIL",
}
COMPUTED = object()  # a value that the source does not spell out


@dataclass
class Facts:
    """What plugins and the modules that they import may add.

    `complete` is False if they may add more: a name is computed, or a package is not known to add no flags.
    """

    flags: set[str] = field(default_factory=set)
    defaults: dict[str | None, set[Any]] = field(
        default_factory=dict
    )  # option -> its values; None: any option
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
    facts, plugin_files, done = Facts(), list(paths), set()
    queue = plugin_files.copy()
    while queue:
        path = queue.pop()
        if path in done:
            continue
        done.add(path)
        try:
            tree = _parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            facts.complete = False
            continue
        for module in _imports(tree):
            files = [file for name in module if (file := _locate(name, path.parent))]
            queue += [file for file in files if file.parent == path.parent or _adds_flags(file)]
            facts.complete &= bool(files) or module[-1].split(".")[0] in NO_FLAGS
        _add_flags(facts, tree)
        _add_defaults(facts, _walk(tree, is_train))
        _add_classes(facts, tree, are_plugins=path in plugin_files)
    return facts


def owners(flag: str) -> list[str]:
    """`--model pix2pix`, ... for each built-in plugin whose own file adds a flag."""
    return [
        f"--{plugins.FLAGS[kind]} {name}"
        for kind in plugins.PACKAGES
        for name, path in sorted(plugins.files(kind).items())
        if f'"{flag}"' in path.read_text(encoding="utf-8")
    ]


@cache
def _parse(text: str) -> ast.Module:
    return ast.parse(text)


def _imports(tree: ast.Module) -> Iterator[list[str]]:
    """For each imported name the modules that it may be or come from."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ([alias.name] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ([f"{node.module}.{alias.name}", str(node.module)] for alias in node.names)


def _locate(module: str, folder: Path) -> Path | None:
    """The file of a module of models/ or data/, or beside a plugin."""
    in_project = module.split(".")[0] in plugins.PACKAGES.values()
    path = (plugins.ROOT if in_project else folder) / f"{module.replace('.', '/')}.py"
    return path if path.is_file() else None


def _adds_flags(path: Path) -> bool:
    text = path.read_text(encoding="utf-8")
    return any(word in text for word in ("modify_commandline_options", "add_argument", "set_defaults"))


def _add_flags(facts: Facts, tree: ast.Module) -> None:
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for node in calls:
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("add_argument", "flag"):
            names = [getattr(word, "value", None) for word in node.args]
            facts.complete &= bool(names) and all(isinstance(name, str) for name in names)
            facts.flags |= {str(name) for name in names}
    called = {node.func for node in calls}
    attributes = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node not in called)
    facts.complete &= not any(node.attr == "add_argument" for node in attributes)


def _add_defaults(facts: Facts, nodes: Iterable[ast.AST]) -> None:
    for node in nodes:
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "set_defaults":
            for keyword in node.keywords:
                values = facts.defaults.setdefault(keyword.arg, set())
                values.add(getattr(keyword.value, "value", COMPUTED))


def _add_classes(facts: Facts, tree: ast.Module, *, are_plugins: bool) -> None:
    for node in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        facts.classes |= {ast.unparse(base).split(".")[-1] for base in node.bases} | (
            {node.name} if are_plugins else set()
        )
        for statement in node.body:
            if isinstance(statement, ast.Assign | ast.AnnAssign):
                target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
                values = facts.attributes.setdefault(ast.unparse(target), {})
                values[node.name] = getattr(statement.value, "value", COMPUTED)


def _walk(node: ast.AST, is_train: bool) -> Iterator[ast.AST]:
    """As ast.walk, with only the branch of each `if is_train` that is taken."""
    yield node
    children: Iterable[ast.AST] = ast.iter_child_nodes(node)
    if isinstance(node, ast.If) and getattr(node.test, "id", "") == "is_train":
        children = node.body if is_train else node.orelse
    for child in children:
        yield from _walk(child, is_train)
