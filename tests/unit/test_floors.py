"""The house: every import points down, and nothing is said where nobody asked."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("models", "tasks", "pipeline")
FILES = sorted(p.relative_to(ROOT) for package in PACKAGES for p in (ROOT / package).rglob("*.py"))
SHARED = ("base", "context", "exclusion", "exchange", "tables")  # of tasks: what every task may import
LINES, FUNCTION_LINES, PARAMETERS = 350, 60, 10
OPTIONS = 12  # parameters of a command: they are what a person may type


def module(path: Path) -> str:
    """Import name of a file."""
    return "emseg." + ".".join(path.with_suffix("").parts).removesuffix(".__init__")


MODULES = {module(path) for path in FILES}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text())


def imported(path: Path) -> set[str]:
    """Modules of emseg that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {
                f"{node.module}.{a.name}" if f"{node.module}.{a.name}" in MODULES else node.module for a in node.names
            }
    return {name for name in found if name.split(".")[0] == "emseg"}


def floor(name: str) -> int:
    """How high a module stands."""
    parts = name.split(".")[1:]
    if parts[0] == "models" or parts[:2] == ["tasks", "volume"]:
        return 0
    if parts[:2] == ["tasks", "arrays"]:
        return 1
    if parts[0] == "tasks":
        return 4 if parts[1:] == ["kinds"] else 2 if parts[-1] in SHARED else 3
    return 6 if parts[-1].startswith("cli") else 5


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_point_down(path):
    """A module imports nothing of a higher floor."""
    mine = floor(module(path))
    assert {name for name in imported(path) if floor(name) > mine} == set()


@pytest.mark.parametrize("path", [p for p in FILES if p.parts[0] == "models"], ids=str)
def test_models_know_nothing_of_tasks(path):
    """models imports of emseg only models."""
    assert {name for name in imported(path) if not name.startswith("emseg.models")} == set()


@pytest.mark.parametrize("path", [p for p in FILES if p.parts[:2] == ("tasks", "volume")], ids=str)
def test_the_ground_knows_no_networks(path):
    """tasks/volume imports of emseg only tasks/volume."""
    assert {name for name in imported(path) if not name.startswith("emseg.tasks.volume")} == set()


@pytest.mark.parametrize("path", [p for p in FILES if p.parts[:2] == ("tasks", "arrays")], ids=str)
def test_arrays_touch_nothing_but_arrays(path):
    """tasks/arrays knows geometry and errors: no layer, no object, no log, no file."""
    allowed = (
        "emseg.tasks.arrays",
        *(f"emseg.tasks.volume.{m}" for m in ("bbox", "codes", "errors", "grid", "limits", "tree")),
    )
    assert {name for name in imported(path) if not name.startswith(allowed)} == set()
    names = {n.id for n in ast.walk(tree(path)) if isinstance(n, ast.Name)}
    assert names.isdisjoint({"open", "structlog", "logging"})


def test_there_are_no_circles():
    """No module imports itself through others."""
    edges = {module(path): imported(path) & MODULES for path in FILES}
    done: set[str] = set()
    while ready := {name for name, needs in edges.items() if name not in done and needs - {name} <= done}:
        done |= ready
    assert set(edges) - done == set()


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_are_absolute(path):
    """No relative import, and no short name that would load a second copy of a module."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            assert not {str(name).split(".")[0] for name in names} & set(PACKAGES)


@pytest.mark.parametrize("path", [p for p in FILES if not p.name.startswith("cli")], ids=str)
def test_only_the_cli_prints(path):
    """print stands in the command line's files alone."""
    assert "print" not in {
        n.func.id for n in ast.walk(tree(path)) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
    }


def is_broad(handler: ast.ExceptHandler) -> bool:
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(c is None or (isinstance(c, ast.Name) and c.id in ("Exception", "BaseException")) for c in caught)


def test_one_handler_is_broad():
    """Only the outermost loop of a worker catches whatever comes."""
    broad = [p for p in FILES for n in ast.walk(tree(p)) if isinstance(n, ast.ExceptHandler) and is_broad(n)]
    assert broad == [Path("pipeline/child.py")]


@pytest.mark.parametrize("path", FILES, ids=str)
def test_nothing_is_evaluated_or_unpickled(path):
    """No eval, exec, pickle, marshal, or torch.load anywhere."""
    names = {n.id for n in ast.walk(tree(path)) if isinstance(n, ast.Name)}
    modules = {a.name for n in ast.walk(tree(path)) if isinstance(n, ast.Import) for a in n.names}
    modules |= {n.module for n in ast.walk(tree(path)) if isinstance(n, ast.ImportFrom)}
    assert names.isdisjoint({"eval", "exec", "__import__"})
    assert modules.isdisjoint({"pickle", "marshal", "dill", "cloudpickle", "shelve"})


@pytest.mark.parametrize("path", FILES, ids=str)
def test_files_and_functions_are_short(path):
    """No file above 350 lines, no function above 60 lines or 10 parameters (12 options of a command)."""
    most = OPTIONS if path.name.startswith("cli") else PARAMETERS
    assert len((ROOT / path).read_text().splitlines()) <= LINES
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < FUNCTION_LINES, node.name
            assert len(node.args.args) + len(node.args.kwonlyargs) <= most, node.name


@pytest.mark.parametrize("path", FILES, ids=str)
def test_no_assert_checks_arguments(path):
    """assert disappears under python -O, so none stands in the code."""
    assert not [n.lineno for n in ast.walk(tree(path)) if isinstance(n, ast.Assert)]
