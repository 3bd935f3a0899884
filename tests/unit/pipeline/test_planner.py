"""From a config to a plan: what is refused, what is pinned, and that nothing is half-written."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emseg.pipeline.config import RunConfig
from emseg.pipeline.plan import Plan
from emseg.pipeline.planner import plan_run
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import ConfigError, EmsegError, LayerError, PlanChangedError
from emseg.tasks.volume.info import LayerSpec
from emseg.tasks.volume.layer import create_layer
from emseg.tasks.volume.objects import Objects
from emseg.tasks.windows import lattice_of

BOX = BBox.sized((-5, 8, 3), (40, 36, 44))


@pytest.fixture
def image(tmp_path: Path) -> str:
    """A small image layer."""
    url = str(tmp_path / "image")
    layer = create_layer(url, LayerSpec("image", "uint8", 1, BOX, (10, 10, 10), (32, 32, 32)))
    layer.write(BOX, np.random.default_rng(0).integers(1, 255, BOX.shape_ZYX).astype(np.uint8))
    return url


def config(tmp_path: Path, image: str, **changes: Any) -> RunConfig:
    values: dict[str, Any] = {
        "run": str(tmp_path / "run"),
        "source": {"layer": image},
        "layers": {"chunk_vx": (16, 16, 16)},
        "stages": {
            "predict": {"chunk_vx": (32, 32, 32)},
            "fragment": {"chunk_vx": (20, 20, 20)},
            "relabel": {"chunk_vx": (32, 32, 32)},
        },
    }
    for path, value in changes.items():
        place = values
        *above, last = path.split("__")
        for part in above:
            place = place.setdefault(part, {})
        place[last] = value
    return RunConfig.model_validate(values)


def test_every_key_of_a_plan_makes_a_task(tmp_path: Path, image: str) -> None:
    """Each key that a plan counts is a task of its kind, with that key."""
    plan = plan_run(config(tmp_path, image)).plan
    keys = list(plan.keys())
    assert len(keys) == sum(plan.planned().values()) == len(set(keys))
    assert all(plan.task(key).key == key for key in keys)


def test_producers_and_dependants_are_inverse(tmp_path: Path, image: str) -> None:
    """A task is among the dependants of exactly its producers, in every stage."""
    plan = plan_run(config(tmp_path, image)).plan
    keys = list(plan.keys())
    dependants = {k: set(plan.dependants(k)) for k in keys}
    for key in keys:
        assert set(plan.producers(key)) == {k for k in keys if key in dependants[k]}


def test_rounds_of_a_plan_need_all_of_the_round_before(tmp_path: Path, image: str) -> None:
    """Every partition needs every partition, also back to the tree and down again; dependants are the inverse."""
    merge = {"rounds": {"above_level": 1, "partitions": 3, "most": 10}}
    plan = plan_run(config(tmp_path, image, stages__merge=merge)).plan
    keys = list(plan.keys())
    assert plan.producers("rounds/R4/2_0_0") == [f"rounds/R3/{p}_0_0" for p in range(3)]
    assert set(plan.producers("rounds/R0/0_0_0")) == {k for k in keys if k.startswith("rounds/enter/")}
    assert len(plan.producers("resolve/L1/0_0_0")) == 2
    assert not plan.tier["rounds/R0"].chunked
    for key in keys:
        assert all(key in plan.dependants(producer) for producer in plan.producers(key))
    Plan.from_json(plan.to_json())


def test_a_stored_plan_reads_back_the_same(tmp_path: Path, image: str) -> None:
    """Storing keeps the hash, and storing again finds the same plan."""
    c = config(tmp_path, image)
    planned = plan_run(c)
    assert planned.stored(c.run)[1]
    assert not plan_run(c).stored(c.run)[1]
    assert Plan.from_json(planned.plan.to_json()).hash == planned.plan.hash


def test_a_killed_planner_leaves_no_plan(tmp_path: Path, image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan is written last: wherever a planner dies, no worker can begin, and planning again goes through."""
    c = config(tmp_path, image, skip_blank={"at_most": 90})
    planned, run, left = plan_run(c), Objects(c.run), [0]
    whole = Objects(str(tmp_path / "whole"))
    assert planned.store(whole)
    writes = {name: getattr(Objects, name) for name in ("put", "create")}
    for name, write in writes.items():

        def limited(self: Objects, *args: Any, _write: Any = write) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            return _write(self, *args)

        monkeypatch.setattr(Objects, name, limited)
    for limit in range(100):
        left[0] = limit
        try:
            assert planned.store(run)
            break
        except KeyboardInterrupt:
            assert not run.exists("plan.json")
    assert limit > 5
    assert list(run.list()) == list(whole.list())


def test_another_plan_is_found_before_anything_is_written(tmp_path: Path, image: str) -> None:
    """A plan that is refused leaves no model, no level and no layer of its own in the directory."""
    first = config(tmp_path, image)
    run, _ = plan_run(first).stored(first.run)
    before = {name: run.get_stored(name) for name in run.list()}
    with pytest.raises(PlanChangedError):
        plan_run(config(tmp_path, image, skip_blank={"at_most": 3})).stored(first.run)
    assert {name: run.get_stored(name) for name in run.list()} == before


def test_a_known_plan_does_not_write_its_cells_again(
    tmp_path: Path, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planning or running again does not decide and write the excluded cells once more."""
    c = config(tmp_path, image, skip_blank={"at_most": 90})
    plan_run(c).stored(c.run)
    again = plan_run(c)
    monkeypatch.setattr("emseg.pipeline.excluding.CellSource.cells", lambda self: pytest.fail("read again"))
    assert not again.stored(c.run)[1]


def test_a_changed_plan_names_the_key(tmp_path: Path, image: str) -> None:
    """Another threshold in the same directory is refused by the key's name."""
    first = config(tmp_path, image)
    plan_run(first).stored(first.run)
    second = config(tmp_path, image, stages__merge={"threshold": "0.4"})
    with pytest.raises(PlanChangedError, match=r"config\.stages\.merge\.threshold was '0\.2', now '0\.4'"):
        plan_run(second).stored(second.run)


def test_engines_do_not_change_the_plan(tmp_path: Path, image: str) -> None:
    """Who runs the tasks, and where, is no part of the plan."""
    one = plan_run(config(tmp_path, image)).plan.hash
    other = plan_run(
        config(tmp_path, image, engine={"kind": "dask", "workers": 7}, run=str(tmp_path / "else"))
    ).plan.hash
    assert one == other


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"source__layer": "/nowhere/at/all"}, LayerError, "no info file"),
        ({"stages__predict": {"chunk_vx": (24, 24, 24)}}, ConfigError, "no whole number of storage chunks"),
        ({"stages__relabel": {"chunk_vx": (17, 32, 32)}}, ConfigError, "stages.relabel.chunk_vx"),
        ({"stages__predict": {"model": "no-such-model"}}, ConfigError, "there is no model 'no-such-model'"),
        ({"bbox": ((0, 0, 0), (10, 10, 10))}, ConfigError, "inside the source's bounds"),
        ({"source__mip": 3}, LayerError, "has no mip 3"),
        ({"normalise": {"kind": "global", "levels": "/nowhere.json"}}, ConfigError, "run `emseg stats`"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    tmp_path: Path, image: str, changes: dict[str, Any], error: type[EmsegError], words: str
) -> None:
    """Each misfit is one line that names it, and the run directory stays absent."""
    with pytest.raises(error, match=words) as caught:
        plan_run(config(tmp_path, image, **changes))
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


GOOD = {"low": 3, "high": 200, "sections": {str(z): [3, 200, 99.0, 9.0] for z in range(3, 47)}}


@pytest.mark.parametrize(
    ("kind", "levels", "words"),
    [
        ("global", {}, "low None and high None must be numbers"),
        ("global", {**GOOD, "low": 200}, "low below high"),
        ("global", {**GOOD, "high": True}, "must be numbers"),
        ("per_section", {"low": 3, "high": 200}, "has no sections"),
        ("per_section", {"sections": {}}, "lacks sections z = 3, 4, 5, …"),
        ("per_section", {"sections": {**GOOD["sections"], "9": [7, 3]}}, "section z = 9 has"),
        ("per_section", {"sections": {**GOOD["sections"], "9": ["a", "b"]}}, "section z = 9 has"),
        ("per_section", [], "holds no levels"),
    ],
)
def test_levels_that_no_task_could_use_are_refused(
    tmp_path: Path, image: str, kind: str, levels: Any, words: str
) -> None:
    """Levels that lack a section, or are no levels, are refused by the plan, not by every task."""
    (tmp_path / "levels.json").write_text(json.dumps(levels))
    with pytest.raises(ConfigError, match=re.escape(words)):
        plan_run(config(tmp_path, image, normalise={"kind": kind, "levels": str(tmp_path / "levels.json")}))


@pytest.mark.parametrize("kind", ["global", "per_section"])
def test_levels_of_the_sections_that_are_read_are_enough(tmp_path: Path, image: str, kind: str) -> None:
    """Levels of the sections that patches of the bbox read are pinned, blank ones with equal levels too."""
    sections = {**GOOD["sections"], "20": [0, 0, 0.0, 0.0]}
    (tmp_path / "levels.json").write_text(json.dumps({**GOOD, "sections": sections}))
    normalise = {"kind": kind, "levels": str(tmp_path / "levels.json")}
    planned = plan_run(config(tmp_path, image, normalise=normalise))
    assert planned.plan.pins["levels"] in next(key for key in planned.objects if key.startswith("levels/"))


@pytest.mark.parametrize(
    ("offsets", "side", "fits"),
    [
        ([[0, 0, -1], [0, -1, 0], [-1, 0, 0]], "upper", False),
        ([[-1, 0, 0], [0, -1, 0], [0, 0, -1]], "lower", False),
        ([[-1, 0, 0]], "upper", False),
        ([[-1, 0, 0], [0, -1, 0], [0, 0, -1]], "upper", True),
    ],
)
def test_affinities_that_say_they_join_otherwise_are_refused(
    tmp_path: Path, offsets: list[list[int]], side: str, fits: bool
) -> None:
    """What every leaf would refuse is refused by the plan: offsets in the layer's info that are not as declared."""
    url = str(tmp_path / "affinities")
    about = {"offsets": offsets}
    create_layer(url, LayerSpec("image", "uint8", 3, BOX, (10, 10, 10), (16, 16, 16), emseg=about))
    given = config(tmp_path, url, source=None, affinities={"layer": url, "side": side})
    if fits:
        assert plan_run(given).plan.tiers
        return
    with pytest.raises(LayerError, match=r"offsets|join along"):
        plan_run(given)


def test_coordinates_beyond_the_codes_are_refused(tmp_path: Path) -> None:
    """A bbox whose voxels have no code is refused at plan time."""
    box = BBox.sized(((1 << 20) - 8, 0, 0), (16, 16, 16))
    url = str(tmp_path / "far")
    create_layer(url, LayerSpec("image", "uint8", 1, box, (10, 10, 10), (16, 16, 16)))
    with pytest.raises(ConfigError, match="has no code"):
        plan_run(config(tmp_path, url))


def test_a_model_of_another_voxel_size_is_a_warning(tmp_path: Path) -> None:
    """The run is planned, and the person is told."""
    url = str(tmp_path / "coarse")
    create_layer(url, LayerSpec("image", "uint8", 1, BOX, (4, 4, 40), (32, 32, 32)))
    assert "was trained on voxels of" in plan_run(config(tmp_path, url)).warnings[0]


def test_a_dtype_that_the_model_does_not_take_is_refused(tmp_path: Path) -> None:
    """float32 images are refused with what is allowed."""
    url = str(tmp_path / "float")
    create_layer(url, LayerSpec("image", "float32", 1, BOX, (10, 10, 10), (32, 32, 32)))
    with pytest.raises(ConfigError, match="is float32; this run takes uint8"):
        plan_run(config(tmp_path, url))


def test_a_price_counts_patches_and_reads_exactly(tmp_path: Path, image: str) -> None:
    """Halo overheads are voxels read over voxels of the box: of leaves, and of patches counted one by one."""
    planned = plan_run(config(tmp_path, image))
    price = planned.price()
    tier = planned.plan.tier["fragment"]
    read = sum(tier.grid.core(i).padded(1).clipped(BOX).voxels for i in tier.grid.indices())
    assert price.halo_overhead["fragment"] == pytest.approx(read / BOX.voxels)
    assert price.tasks == planned.plan.planned()
    lattice, grid = lattice_of(planned.model), planned.plan.tier["predict"].grid
    patches = [patch for index in grid.indices() for patch in lattice.patches(grid.core(index))]
    assert price.halo_overhead["predict"] == pytest.approx(sum(p.voxels for p in patches) / BOX.voxels)


def test_a_run_inside_a_layer_is_refused(tmp_path: Path, image: str) -> None:
    """Nothing of a run is written into the image that it would read."""
    given = config(tmp_path, image)
    before = sorted(p.name for p in Path(image).iterdir())
    with pytest.raises(ConfigError, match="is a layer; a run needs a place of its own"):
        plan_run(given).stored(image)
    assert sorted(p.name for p in Path(image).iterdir()) == before


@pytest.mark.parametrize(
    ("run", "mask"), [("image", "mask"), ("image/run", "mask"), ("mask", "mask"), ("r", "r/layers/mask")]
)
def test_a_run_does_not_write_into_what_it_reads(tmp_path: Path, image: str, run: str, mask: str) -> None:
    """A run in its source or mask, or with one of them among its own layers, is refused; nothing is written."""
    made = create_layer(str(tmp_path / mask), LayerSpec("image", "uint8", 1, BOX, (10, 10, 10), (32, 32, 32)))
    made.write(BOX, np.ones(BOX.shape_ZYX, np.uint8))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ConfigError, match="would write into what it reads"):
        plan_run(config(tmp_path, image, run=str(tmp_path / run), mask={"layer": str(tmp_path / mask)}))
    assert sorted(tmp_path.rglob("*")) == before


def test_what_a_run_reads_may_lie_in_its_folder(tmp_path: Path, image: str) -> None:
    """As `run: data` with `data/raw`."""
    assert plan_run(config(tmp_path, image, run=str(tmp_path))).plan.tiers


def test_a_mask_that_ends_inside_the_run_is_warned_about(tmp_path: Path, image: str) -> None:
    """What the mask lacks is left out, and a line names both boxes; a mask of the whole says nothing."""
    for name, box in (("short", BBox.sized(BOX.min, (20, 36, 44))), ("whole", BOX)):
        mask = create_layer(str(tmp_path / name), LayerSpec("image", "uint8", 1, box, (10, 10, 10), (32, 32, 32)))
        mask.write(box, np.ones(box.shape_ZYX, np.uint8))
        warnings = plan_run(config(tmp_path, image, mask={"layer": mask.url})).warnings
        named = [w for w in warnings if f"holds {box}, the run needs {BOX} of its voxels" in w]
        assert len(named) == (name == "short")
