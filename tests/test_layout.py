"""The layout of the source: imports run downwards without cycles, and modules, functions and packages stay small."""

import ast
import re
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest
from conftest import ROOT

LAYERS = {"util": 1, "models": 2, "data": 2, "options": 3, "scripts": 4, "train": 4, "test": 4}
FOLDERS = ("util", "models", "data", "options", "scripts")
FILES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
FILES += [ROOT / "train.py", ROOT / "test.py"]
PLUGINS = ("models/*_model.py", "data/*_dataset.py")  # any number of them may lie in their folder

MODULE_LINES, FUNCTION_LINES, PACKAGE_MODULES = 300, 45, 20


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imports(path: Path) -> frozenset[str]:
    """The dotted names of this project that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(name for name in found if name.split(".")[0] in LAYERS)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_of(path: Path) -> str:
    return relative(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


MODULES = {module_of(path): path for path in FILES}
PACKAGES = sorted(name for name, path in MODULES.items() if path.stem == "__init__")


def find_cycle(graph: dict[str, set[str]]) -> str:
    """The nodes of one cycle, or an empty string."""
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> str:
        if name in trail:
            return " -> ".join((*trail[trail.index(name) :], name))
        if name in done:
            return ""
        done.add(name)
        return next(filter(None, (visit(other, (*trail, name)) for other in sorted(graph[name]))), "")

    return next(filter(None, (visit(name, ()) for name in graph)), "")


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """(`path::name`, lines) of every function and method of a file."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield f"{relative(path)}::{node.name}", node.end_lineno - node.lineno + 1


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_imports_run_downwards(path: Path) -> None:
    here = module_of(path).split(".")[0]
    for name in imports(path):
        there = name.split(".")[0]
        assert there == here or LAYERS[there] < LAYERS[here], f"{path} imports {name}"


def test_modules_have_no_cycle() -> None:
    graph = {name: {other for other in imports(path) if other in MODULES} for name, path in MODULES.items()}
    graph = {name: others - {name} for name, others in graph.items()}
    assert find_cycle(graph) == ""


@pytest.mark.parametrize("package", PACKAGES)
def test_the_parts_of_a_package_have_no_cycle(package: str) -> None:
    """The parts are its modules and, each as a whole, its sub-packages."""

    def part(name: str) -> str:
        return name.removeprefix(f"{package}.").split(".")[0] if name.startswith(f"{package}.") else ""

    parts = {part(name) for name in MODULES} - {""}
    graph: dict[str, set[str]] = {name: set() for name in parts}
    for name, path in MODULES.items():
        if part(name):
            graph[part(name)] |= {part(other) for other in imports(path)} & (parts - {part(name)})
    assert find_cycle(graph) == ""


def test_a_cycle_is_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}
    assert find_cycle(graph) == "b -> c -> b"
    assert find_cycle(graph | {"c": {"d"}}) == ""


def test_base_model_imports_no_network_and_networks_import_no_training_step() -> None:
    assert not any(
        name.startswith(("models.net", "models.networks")) for name in imports(ROOT / "models/base_model.py")
    )
    for path in [ROOT / "models/networks.py", *(ROOT / "models/nets").rglob("*.py")]:
        assert "models.base_model" not in imports(path)


@pytest.mark.parametrize("path", sorted((ROOT / "models").glob("*_model.py")), ids=lambda path: path.stem)
def test_plugins_use_networks_and_leave_devices_and_files_to_base_model(path: Path) -> None:
    assert not any(name.startswith("models.nets") for name in imports(path))
    for word in ("cuda", "autocast", "torch.save", "print(", ".to("):
        assert path.stem == "base_model" or word not in path.read_text(), word


def test_modules_are_short() -> None:
    lines = {relative(path): len(path.read_text().splitlines()) for path in FILES}
    too_long = {name: count for name, count in lines.items() if count > MODULE_LINES}
    assert not too_long, too_long


def test_functions_are_short() -> None:
    too_long = {name: count for path in FILES for name, count in functions(path) if count > FUNCTION_LINES}
    assert not too_long, too_long


def test_packages_are_small() -> None:
    counts: dict[str, int] = {}
    for path in FILES:
        if path.stem != "__init__" and not any(fnmatch(relative(path), plugin) for plugin in PLUGINS):
            counts[relative(path.parent)] = counts.get(relative(path.parent), 0) + 1
    too_large = {name: count for name, count in counts.items() if count > PACKAGE_MODULES}
    assert not too_large, too_large


def test_every_module_has_a_first_sentence() -> None:
    for path in FILES:
        doc = ast.get_docstring(parse(path))
        assert doc and doc.split("\n")[0].endswith((".", ":", '"', "NAME", "RUN", "h2z")), path


def test_the_overview_lists_every_file() -> None:
    """`docs/overview.md` names each tracked file outside tests/ by its path in backticks; `*` stands for any name."""
    overview = ROOT / "docs" / "overview.md"
    listing = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode or not overview.exists():
        pytest.skip("needs docs/overview.md in a git checkout")
    patterns = re.findall(r"`([\w./*]+\.py)`", overview.read_text())
    tracked = [name for name in listing.stdout.split() if not name.startswith("tests/")]
    assert tracked and [name for name in tracked if not any(fnmatch(name, p) for p in patterns)] == []
