"""The floors of the house: imports run downwards, siblings do not know each other, no circles."""

import ast
from pathlib import Path

import pytest
from conftest import ROOT

FLOORS = {"util": 1, "models": 2, "data": 2, "options": 3, "scripts": 4, "train": 4, "test": 4}
FOLDERS = ("util", "models", "data", "options", "scripts")
FILES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
FILES += [ROOT / "train.py", ROOT / "test.py"]


def imports(path: Path) -> set[str]:
    """Every module of ours that a file imports, anywhere in it, as dotted names."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in found if name.split(".")[0] in FLOORS}


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_downwards(path: Path) -> None:
    here = room(path)
    for name in imports(path):
        there = name.split(".")[0]
        assert there == here or FLOORS[there] < FLOORS[here], f"{path} imports {name}"


def module_of(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


def test_there_is_no_circle() -> None:
    graph = {module_of(path): imports(path) for path in FILES}
    graph = {
        name: {other for other in others if other in graph and other != name}
        for name, others in graph.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name not in done:
            for other in graph[name]:
                visit(other, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())
    assert len(done) == len(graph)


def test_the_step_knows_no_architecture_and_the_architectures_no_step() -> None:
    assert not any(
        name.startswith(("models.net", "models.networks")) for name in imports(ROOT / "models/base_model.py")
    )
    for path in [ROOT / "models/networks.py", *(ROOT / "models/nets").glob("*.py")]:
        assert "models.base_model" not in imports(path)


@pytest.mark.parametrize("path", sorted((ROOT / "models").glob("*_model.py")), ids=lambda path: path.stem)
def test_plugins_know_networks_not_nets(path: Path) -> None:
    assert not any(name.startswith("models.nets") for name in imports(path))
    text = path.read_text()
    for word in ("cuda", "autocast", "torch.save", "print(", ".to("):
        if path.stem != "base_model":
            assert word not in text, word


def test_everything_has_a_first_sentence() -> None:
    for path in FILES:
        doc = ast.get_docstring(ast.parse(path.read_text()))
        assert doc and doc.split("\n")[0].endswith((".", ":", '"', "NAME", "RUN", "h2z")), path
