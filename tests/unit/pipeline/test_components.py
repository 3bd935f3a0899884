"""`emseg components`: stored layers, what is refused, going on, and the command."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from laws.component_sweeps import of_the_whole

from emseg.pipeline import small
from emseg.pipeline.check import check_run
from emseg.pipeline.components import ComponentRules, connected_components
from emseg.pipeline.execute import execute
from emseg.pipeline.plan import Plan, load_plan
from emseg.pipeline.receipts import Ledger
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import ConfigError, LayerError, PlanChangedError
from emseg.tasks.volume.info import LayerSpec
from emseg.tasks.volume.layer import create_layer, open_layer
from emseg.tasks.volume.objects import Objects

RULES = ComponentRules()
BOX = BBox.sized((-5, 7, 3), (70, 33, 21))
GRIDS = [(256, 256, 256), (16, 11, 7), (69, 32, 20), (24, 33, 5), (9, 16, 21)]


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A layer of two labels with many components, and a coarser mip."""
    url = str(tmp_path_factory.mktemp("source") / "labels")
    rng = np.random.default_rng(0)
    values = (rng.integers(1, 3, BOX.shape_ZYX) * (rng.random(BOX.shape_ZYX) < 0.25)).astype(np.uint16)
    layer = create_layer(
        url, LayerSpec("segmentation", "uint16", 1, BOX, (8, 8, 40), (16, 16, 16), factors=((2, 2, 2),))
    )
    layer.write(BOX, values)
    coarse = layer.at(1)
    coarse.write(coarse.bounds, np.ones(coarse.bounds.shape_ZYX, np.uint16))
    return url


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks run in this process, last keys first."""

    def run_here(plan: Plan, run: Objects, *rest: Any, **more: Any) -> None:
        ledger, waiting = Ledger(run), list(plan.keys())[::-1]
        while waiting:
            ready = [key for key in waiting if plan.ready(key, ledger.exists)]
            for key in ready:
                ledger.finish(key, execute(plan, run, plan.task(key)))
            waiting = [key for key in waiting if key not in ready]

    monkeypatch.setattr(small, "run_plan", run_here)


def digests(layer: str) -> dict[str, str]:
    """sha256 of every object of a layer, `info` included."""
    root = Path(layer.removeprefix("file://"))
    return {
        str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in root.rglob("*") if p.is_file()
    }


@pytest.mark.parametrize("connectivity", [6, 18, 26])
def test_every_grid_writes_the_same_objects(tmp_path: Path, labels: str, here: None, connectivity: int) -> None:
    """Five grids write the same bytes, `info` too: cc3d's components of the whole, dust by global size, and count."""
    values = open_layer(labels).read_ZYX(BOX)
    made = [
        connected_components(labels, f"{tmp_path}/{n}", ComponentRules(connectivity, 3), chunk_vx=chunk)
        for n, chunk in enumerate(GRIDS)
    ]
    found = [digests(m["layer"]) for m in made]
    assert len(found[0]) > 2
    assert all(other == found[0] for other in found)
    wanted = of_the_whole(values, BOX, connectivity, 3)
    assert np.array_equal(open_layer(made[1]["layer"]).read_ZYX(BOX), wanted)
    assert {m["components"] for m in made} == {len(np.unique(wanted)) - 1}
    assert [m["chunks"] for m in made] == [1, 45, 8, 15, 24]


def test_every_object_is_proved(tmp_path: Path, labels: str, here: None) -> None:
    """The records hold a digest of every object that the tasks wrote, and all agree."""
    made = connected_components(labels, f"{tmp_path}/out", RULES, chunk_vx=(32, 32, 32), records=f"{tmp_path}/records")
    assert made["records"] == f"file://{tmp_path}/records"
    run = Objects(made["records"])
    plan, ledger = load_plan(run), Ledger(run)
    found = check_run(plan, ledger)
    assert found.sound
    assert found.objects > len(digests(made["layer"]))
    torn = next(Path(f"{tmp_path}/out").rglob("*.gz"))
    torn.write_bytes(torn.read_bytes() + b"x")
    assert len(check_run(plan, ledger).corrupt) == 1


def test_a_box_and_a_mip(tmp_path: Path, labels: str, here: None) -> None:
    """Only the box is labelled; at another mip the voxels are that mip's."""
    box = BBox.of((0, 9, 4), (21, 40, 20))
    made = connected_components(labels, f"{tmp_path}/box", RULES, bbox=box, chunk_vx=(10, 10, 10))
    layer = open_layer(made["layer"])
    assert layer.bounds == box
    assert np.array_equal(layer.read_ZYX(box), of_the_whole(open_layer(labels).read_ZYX(box), box, 26, 0))
    made = connected_components(labels, f"{tmp_path}/mip", RULES, mip=1, chunk_vx=(10, 10, 10))
    assert made["components"] == 1
    assert open_layer(made["layer"]).voxel_nm == (16, 16, 80)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_an_image_above_a_threshold(tmp_path: Path, here: None, dtype: str) -> None:
    """What is above it, not at it, is foreground of one label."""
    box = BBox.sized((0, 0, 0), (20, 20, 20))
    image = np.random.default_rng(1).integers(0, 8, box.shape_ZYX).astype(dtype)
    create_layer(f"{tmp_path}/image", LayerSpec("image", dtype, 1, box, (4, 4, 4), (20, 20, 20))).write(box, image)
    made = connected_components(
        f"{tmp_path}/image", f"{tmp_path}/out", ComponentRules(6, above=5.0), chunk_vx=(7, 8, 9)
    )
    assert np.array_equal(open_layer(made["layer"]).read_ZYX(box), of_the_whole(image > 5, box, 6, 0))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"connectivity": 8}, "choose 6 .* 18 .* or 26"),
        ({"dust_vx": -1}, "0 or more"),
        ({"above": float("nan")}, "finite"),
        ({"chunk_vx": (0, 8, 8)}, "at least 1 voxel"),
        ({"bbox": BBox.of((0, 0, 0), (9, 9, 9))}, "inside the bounds -5,7,3:65,40,24"),
        ({"mip": 2}, "has no mip 2"),
    ],
)
def test_what_does_not_fit_is_refused_first(tmp_path: Path, labels: str, options: dict[str, Any], match: str) -> None:
    """One line says what is wrong, and nothing was written."""
    options = dict(options)
    rules = {name: options.pop(name) for name in ("connectivity", "dust_vx", "above") if name in options}
    with pytest.raises((ConfigError, LayerError), match=match) as caught:
        connected_components(labels, f"{tmp_path}/out", ComponentRules(**rules), **options)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_images_are_no_labels(tmp_path: Path) -> None:
    """Floats without a threshold, and several channels, are refused with the way out."""
    box = BBox.sized((0, 0, 0), (8, 8, 8))
    for name, dtype, channels in (("a", "float32", 1), ("b", "uint8", 3)):
        create_layer(f"{tmp_path}/{name}", LayerSpec("image", dtype, channels, box, (4, 4, 4), (8, 8, 8)))
        with pytest.raises(ConfigError, match="takes --above"):
            connected_components(f"{tmp_path}/{name}", f"{tmp_path}/out", RULES)


def test_other_rules_need_another_place(tmp_path: Path, labels: str, here: None) -> None:
    """With another dust the layer, or the records, are refused and left as they were."""
    options: dict[str, Any] = {"chunk_vx": (40, 40, 40)}
    made = connected_components(labels, f"{tmp_path}/out", RULES, **options)
    before = digests(made["layer"])
    with pytest.raises(LayerError, match="exists with another info"):
        connected_components(labels, f"{tmp_path}/out", ComponentRules(dust_vx=9), **options)
    with pytest.raises(PlanChangedError):
        connected_components(labels, f"{tmp_path}/else", ComponentRules(dust_vx=9), records=made["records"], **options)
    assert digests(made["layer"]) == before


def emseg(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a fresh process."""
    command = [sys.executable, "-c", "from emseg.pipeline.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_the_command_goes_on_where_it_was(tmp_path: Path, labels: str) -> None:
    """In two processes; what lost its receipt runs again alone, to the same bytes; JSON is one object."""
    command = ["components", labels, f"{tmp_path}/out", "--connectivity", "18", "--dust-vx", "2", "--workers", "2"]
    command += ["--chunk-vx", "40,20,30", "--records", f"{tmp_path}/records", "--json"]
    done = emseg(*command)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["components"] == len(np.unique(open_layer(said["layer"]).read_ZYX(BOX))) - 1
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}
    lost = tmp_path / "records" / "receipts" / "relabel" / "0_0_0.json"
    lost.unlink()
    assert json.loads(emseg(*command).stdout) == said
    after = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}
    changed = {p for p in before if after[p] != before[p]}
    assert {p.relative_to(tmp_path).parts[0] for p in changed - {lost}} == {"out"}


def test_bad_words_are_told_in_one_line(tmp_path: Path, labels: str) -> None:
    """A threshold that is no number: exit code 2, one line, nothing written."""
    done = emseg("components", labels, f"{tmp_path}/out", "--above", "grey")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--above 'grey': give a number" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_an_image_is_not_taken_for_labels(tmp_path: Path, here: None, dtype: str) -> None:
    """Grey levels without --above are refused before anything is written; integers too wide for grey are labels."""
    box = BBox.sized((0, 0, 0), (8, 8, 8))
    for name in (dtype, "uint64"):
        layer = create_layer(f"{tmp_path}/{name}", LayerSpec("image", name, 1, box, (4, 4, 4), (8, 8, 8)))
        layer.write(box, np.ones((1, 8, 8, 8), name))
    with pytest.raises(ConfigError, match=f"is an image of {dtype}: give --above"):
        connected_components(f"{tmp_path}/{dtype}", f"{tmp_path}/out", RULES)
    assert not (tmp_path / "out").exists()
    above = ComponentRules(above=0.5)
    assert connected_components(f"{tmp_path}/{dtype}", f"{tmp_path}/out", above)["components"] == 1
    assert connected_components(f"{tmp_path}/uint64", f"{tmp_path}/wide", RULES)["components"] == 1
