"""What the source of plugins says about flags and class attributes, read without importing it, and so without torch."""

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
MISSING = object()


@dataclass
class Facts:
    """Flags and defaults that plugins and the modules that they import may add.

    `complete` is False if they may add others: a name is computed, or a package is not known to add none.
    """

    flags: set[str] = field(default_factory=set)
    defaults: dict[str | None, set[Any]] = field(default_factory=dict)  # option -> its values; None: any
    complete: bool = True

    def may_set(self, option: str) -> bool:
        """Whether a plugin may change the default of an option."""
        return bool({option, None} & self.defaults.keys()) or not self.complete


def read(paths: Iterable[Path], is_train: bool) -> Facts:
    """The facts about plugin files and the modules of models/, data/ or their own folder that they import."""
    facts, queue, done = Facts(), list(paths), set()
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
        _add_flags(facts, tree)
        for _, modules in _imports(tree):
            imported = [file for module in modules if (file := _locate(module, path.parent))]
            queue += [file for file in imported if file.parent == path.parent or _adds_flags(file)]
            if not imported and modules[0].split(".")[0] not in NO_FLAGS:
                facts.complete = False
        _add_defaults(facts, _walk(tree, is_train))
    return facts


def owners(flag: str) -> list[str]:
    """`--model pix2pix`, ... for each built-in plugin whose own file adds a flag."""
    return [
        f"--{plugins.FLAGS[kind]} {name}"
        for kind in plugins.PACKAGES
        for name, path in sorted(plugins.files(kind).items())
        if f'"{flag}"' in path.read_text(encoding="utf-8")
    ]


def class_attribute(path: Path, class_name: str, attribute: str) -> Any:
    """The literal value of a class attribute, own or inherited; MISSING where neither is there.

    Letter case and underscores of `class_name` are ignored.

    Raises:
        LookupError: the source does not tell.
    """
    name = class_name.replace("_", "").lower()
    tree = _parse(path.read_text(encoding="utf-8"))
    found = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name.lower() == name]
    if not found:
        raise LookupError(class_name)
    for statement in found[0].body:
        targets = (
            statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        )
        if any(isinstance(target, ast.Name) and target.id == attribute for target in targets):
            try:
                return ast.literal_eval(statement.value)  # type: ignore[attr-defined]
            except ValueError as error:
                raise LookupError(attribute) from error
    for base in map(ast.unparse, found[0].bases):
        value = class_attribute(_file_of_base(tree, path, base), base.split(".")[-1], attribute)
        if value is not MISSING:
            return value
    return MISSING


def _file_of_base(tree: ast.Module, path: Path, base: str) -> Path:
    """The file that defines a base class."""
    if any(isinstance(node, ast.ClassDef) and node.name == base for node in tree.body):
        return path
    for name, modules in _imports(tree):
        if name in (base.split(".")[0], "*"):
            for file in filter(None, (_locate(module, path.parent) for module in modules)):
                return file
    raise LookupError(base)


@cache
def _parse(text: str) -> ast.Module:
    return ast.parse(text)


def _imports(tree: ast.Module) -> Iterator[tuple[str, list[str]]]:
    """The names that a file imports, each with the modules it may be or come from."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.asname or alias.name, [alias.name]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name, [f"{node.module}.{alias.name}", str(node.module)]


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
                values.add(getattr(keyword.value, "value", None))


def _walk(node: ast.AST, is_train: bool) -> Iterator[ast.AST]:
    """As ast.walk, with only the branch of each `if is_train` that is taken."""
    yield node
    children: Iterable[ast.AST] = ast.iter_child_nodes(node)
    if isinstance(node, ast.If) and getattr(node.test, "id", "") == "is_train":
        children = node.body if is_train else node.orelse
    for child in children:
        yield from _walk(child, is_train)
