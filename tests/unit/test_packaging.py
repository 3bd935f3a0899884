"""The wheel: every package is in it, and it runs where the repository is not."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CLI = ROOT / "pipeline" / "cli.py"
needs_cli = pytest.mark.skipif(not CLI.exists(), reason="pipeline/cli.py is not there yet")


def packages() -> dict[str, str]:
    """Import name -> folder of every folder with an __init__.py."""
    found = (
        p.parent.relative_to(ROOT) for top in ("models", "tasks", "pipeline") for p in (ROOT / top).rglob("__init__.py")
    )
    return {"emseg." + ".".join(folder.parts): str(folder) for folder in found}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built of a copy of the tracked folders without any network."""
    out = tmp_path_factory.mktemp("wheel")
    source = tmp_path_factory.mktemp("source")
    for name in ("models", "tasks", "pipeline", "pyproject.toml", "LICENSE", "README.md"):
        if (ROOT / name).exists():
            subprocess.run(["cp", "-r", str(ROOT / name), str(source)], check=True)
    (source / "README.md").touch()
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    (found,) = out.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """A folder into which the wheel alone was installed."""
    target = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet", "--target", str(target)]
    subprocess.run([*command, str(wheel)], check=True, capture_output=True)
    return target


def run_there(installed: Path, *command: str) -> str:
    """Output of a command that sees the installed wheel before anything else, away from the repository."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(command, cwd=installed, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_every_folder_is_listed():
    """pyproject lists exactly the packages that the tree has, each with its folder."""
    tool = PYPROJECT["tool"]["setuptools"]
    assert sorted(tool["packages"]) == sorted(packages())
    assert tool["package-dir"] == packages()


EXTRAS = {"lightning": "train", "playwright": "screenshot"}  # what only an extra brings
BROUGHT = {"pydantic-core": "pydantic"}  # what a declared package is made of


def imported() -> set[str]:
    """Distributions that the packages import, by their normal names."""
    known = packages_distributions()
    found = set()
    for path in (p for top in ("models", "tasks", "pipeline") for p in (ROOT / top).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                top = name.split(".")[0]
                if top == "google":
                    google = {"api_core": "api-core", "auth": "auth", "cloud": "cloud-storage"}
                    found.add("google-" + google[name.split(".")[1]])
                elif top not in sys.stdlib_module_names and top not in ("emseg", ""):
                    found.add(normal(known[top][0]))
    return found


def normal(name: str) -> str:
    """A distribution's name without its version, as PEP 503 spells it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=\[]", name)[0]).lower()


def test_what_is_imported_is_declared_and_nothing_else():
    """Dependencies are exactly what the packages import; extras bring what only some commands need."""
    project = PYPROJECT["project"]
    declared = {normal(d) for d in project["dependencies"]}
    assert imported() - EXTRAS.keys() - BROUGHT.keys() == declared
    for name, extra in EXTRAS.items():
        assert name in {normal(d) for d in project["optional-dependencies"][extra]}


@pytest.mark.parametrize("package", sorted(set(packages().values())))
def test_every_package_is_typed(package):
    """Each top package says that it is typed."""
    assert (ROOT / package.split("/")[0] / "py.typed").exists()


@pytest.mark.slow
def test_the_wheel_holds_every_module(wheel):
    """Every Python file, marker and shipped weight of the tree is in the wheel; no test, example or cache is."""
    names = set(zipfile.ZipFile(wheel).namelist())
    inside = [p for top in ("models", "tasks", "pipeline") for p in (ROOT / top).rglob("*") if p.is_file()]
    expected = {
        f"emseg/{p.relative_to(ROOT)}" for p in inside if p.suffix in (".py", ".safetensors") or p.name == "py.typed"
    }
    assert expected <= names
    assert not [n for n in names if n.startswith(("tests", "deploy", "docs")) or "__pycache__" in n]
    assert "emseg/__init__.py" not in names


@pytest.mark.slow
def test_the_wheel_is_imported_from_where_it_is_installed(installed):
    """Modules load from the installed folder, not from the repository."""
    imports = "import emseg.tasks.kinds as k, emseg.pipeline.plan as p, emseg.models as m"
    script = f"{imports}; print(*(f.__file__ for f in (k, p, m)))"
    for path in run_there(installed, sys.executable, "-c", script).split():
        assert path.startswith(str(installed))


@pytest.mark.slow
@needs_cli
def test_the_command_tells_its_version(installed):
    """`emseg --version` of the installed wheel says the version of pyproject."""
    said = run_there(installed, sys.executable, str(installed / "bin" / "emseg"), "--version")
    assert PYPROJECT["project"]["version"] in said
