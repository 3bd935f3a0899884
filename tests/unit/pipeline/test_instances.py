"""A folder of instance chunks as a start: what is found, planned and priced, and what is refused."""

from __future__ import annotations

import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emseg.pipeline.audit import audit_plan
from emseg.pipeline.config import RunConfig
from emseg.pipeline.costs import price_of
from emseg.pipeline.execute import execute
from emseg.pipeline.plan import Plan
from emseg.pipeline.planner import plan_run
from emseg.pipeline.viewer_check import check_layers
from emseg.pipeline.viewer_layers import run_layers
from emseg.pipeline.viewer_state import viewer_state
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import ConfigError, EmsegError, LayerError
from emseg.tasks.volume.grid import Grid
from emseg.tasks.volume.objects import Objects

BOX = BBox.sized((10, 20, 30), (44, 30, 20))
GRID = Grid(BOX, (12, 30, 9), (6, 4, 5))


def folder_of(path: Path, dtype: str = "uint32") -> Path:
    """A folder of chunks of ones."""
    path.mkdir(parents=True, exist_ok=True)
    for index in GRID.indices():
        whole = GRID.whole(index)
        np.save(path / "{}_{}_{}.npy".format(*whole.min), np.ones(whole.shape_ZYX, dtype))
    return path


def config(tmp_path: Path, chunks: Path, more: dict[str, Any] | None = None, **instances: Any) -> RunConfig:
    """A run from a folder."""
    given: dict[str, Any] = {
        "folder": str(chunks),
        "chunk_vx": (18, 34, 14),
        "overlap_vx": (6, 4, 5),
        "voxel_nm": (8, 8, 30),
    }
    values = {"run": str(tmp_path / "run"), "instances": {**given, **instances}, "layers": {"chunk_vx": (16, 16, 16)}}
    return RunConfig.model_validate({**values, **(more or {})})


def test_the_files_say_where_the_volume_is(tmp_path: Path) -> None:
    """Bounds from names and from the last file's size; a chunk wholly inside its neighbour is left out."""
    folder = folder_of(tmp_path / "chunks")
    tier = plan_run(config(tmp_path, folder)).plan.tier["fragment"]
    assert (tier.kind, tier.grid) == ("instances", GRID)
    for z, depth in ((30, 14), (39, 11)):
        np.save(folder / f"46_20_{z}.npy", np.ones((depth, 30, 13), np.uint32))
        np.save(folder / f"58_20_{z}.npy", np.ones((depth, 30, 1), np.uint32))
    grown = plan_run(config(tmp_path, folder)).plan.tier["fragment"].grid
    assert grown.bbox == BBox.of(BOX.min, (59, 50, 50))
    assert grown.shape == GRID.shape


def test_a_run_of_instances_is_not_verified(tmp_path: Path) -> None:
    """Its result depends on the chunks: `stitch --verify` says so in one line, finished or not."""
    plan = plan_run(config(tmp_path, folder_of(tmp_path / "chunks"))).plan
    with pytest.raises(ConfigError, match=r"depends on its chunks.*takes runs from affinities") as refused:
        audit_plan(plan, Objects(str(tmp_path / "run")), 1, seed=0)
    assert "\n" not in str(refused.value)


def test_every_key_makes_a_task_and_needs_what_it_reads(tmp_path: Path) -> None:
    """Keys, producers and dependants of all tiers fit together; the plan reads back the same; the price counts."""
    planned = plan_run(config(tmp_path, folder_of(tmp_path / "chunks")))
    plan = planned.plan
    keys = list(plan.keys())
    assert all(plan.task(key).key == key for key in keys)
    dependants = {k: set(plan.dependants(k)) for k in keys}
    for key in keys:
        assert set(plan.producers(key)) == {k for k in keys if key in dependants[k]}
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))).hash == plan.hash
    price = price_of(plan, planned.specs, None)
    whole = sum(GRID.whole(i).voxels for i in GRID.indices())
    assert price.halo_overhead["fragment"] == pytest.approx(whole / BOX.voxels)
    assert price.peak_bytes_per_task["match"] > 0


def test_a_box_takes_the_chunks_in_it(tmp_path: Path) -> None:
    """Chunks from the second to the third along x, and the overlap behind; other boxes are told which fits."""
    folder = folder_of(tmp_path / "chunks")
    box = BBox.of((22, 20, 30), (52, 50, 44))
    plan = plan_run(config(tmp_path, folder, {"bbox": tuple(box)})).plan
    assert plan.tier["fragment"].grid == Grid(box, GRID.chunk_vx, GRID.overlap_vx)
    assert plan.tier["fragment"].grid.shape == (2, 1, 1)
    (tmp_path / "alone").mkdir()
    for name in ("22_20_30.npy", "34_20_30.npy"):
        shutil.copy(folder / name, tmp_path / "alone" / name)
    alone = plan_run(config(tmp_path, tmp_path / "alone")).plan
    assert (plan.tiers, plan.pins) == (alone.tiers, alone.pins)
    with pytest.raises(ConfigError, match=re.escape(f"its chunks are {box}: use that")):
        plan_run(config(tmp_path, folder, {"bbox": ((20, 20, 30), (51, 50, 44))}))


@pytest.mark.parametrize(
    ("changes", "more", "error", "words"),
    [
        ({"folder": "/nowhere"}, {}, LayerError, "holds no file"),
        ({"name": "seg-{x}_{y}_{z}.npy"}, {}, LayerError, "holds no file 'seg-"),
        ({"name": "{x}.npy"}, {}, ConfigError, "must hold"),
        ({"chunk_vx": (19, 34, 14)}, {}, ConfigError, "does not fit the grid from 10_20_30 in steps of"),
        ({"chunk_vx": (6, 34, 14)}, {}, ConfigError, "must be less than chunk_vx"),
        ({"chunk_vx": (12, 34, 9), "overlap_vx": (0, 4, 0)}, {}, ConfigError, "mend it|do not overlap"),
        ({}, {"bbox": ((10, 20, 30), (20, 30, 40))}, ConfigError, "must begin and end where chunks"),
        ({}, {"bbox": ((110, 20, 30), (120, 30, 40))}, ConfigError, "holds no chunk of .* begins at 10_20_30"),
        ({}, {"stages": {"merge": {"min_size_vx": 9}}}, ConfigError, "min_size_vx: does nothing to instances"),
        ({}, {"stages": {"fragment": {"t_low": "0.1"}}}, ConfigError, "stages.fragment: does nothing to instances"),
    ],
)
def test_what_does_not_fit_is_one_line(
    tmp_path: Path, changes: dict[str, Any], more: dict[str, Any], error: type[EmsegError], words: str
) -> None:
    """Each misfit is refused by name before anything is written."""
    with pytest.raises(error, match=words) as caught:
        plan_run(config(tmp_path, folder_of(tmp_path / "chunks"), more, **changes))
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_chunks_without_overlap_are_refused(tmp_path: Path) -> None:
    """Neighbours that share nothing cannot be matched; along an axis of one chunk no overlap is needed."""
    folder = tmp_path / "chunks"
    folder.mkdir()
    for x in (0, 8):
        np.save(folder / f"{x}_0_0.npy", np.ones((8, 8, 8), np.uint8))
    values = {"chunk_vx": (8, 8, 8), "overlap_vx": (0, 0, 0)}
    with pytest.raises(ConfigError, match=r"2 chunks along x do not overlap and cannot be matched"):
        plan_run(config(tmp_path, folder, **values))
    (folder / "8_0_0.npy").unlink()
    assert len(plan_run(config(tmp_path, folder, **values)).plan.tier["fragment"].grid) == 1


def test_holes_and_floats_are_refused(tmp_path: Path) -> None:
    """A missing chunk is named; chunks of another data type are refused where they are."""
    folder = folder_of(tmp_path / "chunks")
    (folder / "22_20_39.npy").unlink()
    with pytest.raises(LayerError, match="chunk 22_20_39 is missing in a grid of"):
        plan_run(config(tmp_path, folder))
    with pytest.raises(LayerError, match=r"holds float32.*instances are integers"):
        plan_run(config(tmp_path, folder_of(tmp_path / "floats", "float32")))


def test_a_chunk_of_another_size_stops_its_task(tmp_path: Path) -> None:
    """What only a task can see, it refuses with both sizes."""
    folder = folder_of(tmp_path / "chunks")
    np.save(folder / "10_20_30.npy", np.ones((14, 30, 17), np.uint32))
    planned = plan_run(config(tmp_path, folder))
    run, _ = planned.stored(str(tmp_path / "run"))
    with pytest.raises(LayerError, match=r"need integers \[14, 30, 18\]; mend chunk_vx"):
        execute(planned.plan, run, planned.plan.task("fragment/0_0_0"))


def test_a_view_draws_conflicts_over_the_segments(tmp_path: Path) -> None:
    """The annotation layer of a run comes last, is visible, and is checked without a volume's scales."""
    planned = plan_run(config(tmp_path, folder_of(tmp_path / "chunks")))
    run, _ = planned.stored(str(tmp_path / "run"))
    layers = run_layers(run.url)
    assert [layer.name for layer in layers] == ["fragments", "segmentation", "conflicts"]
    assert layers[-1].kind == "annotation"
    assert layers[-1].visible
    state = viewer_state(layers).to_json()
    assert state["layers"][-1]["type"] == "annotation"
    assert {finding.state for finding in check_layers(layers[-1:])} == {"good"}
    with pytest.raises(ConfigError, match="name a volume first"):
        viewer_state(layers[-1:])


def test_chunks_may_lie_in_a_bucket(tmp_path: Path, cloud: Any) -> None:
    """Files of any depth below a prefix of S3 are found, read and recorded with their digest."""
    bucket = Objects(cloud.url + "/ffn/run1")
    for index in GRID.indices():
        whole, content = GRID.whole(index), io.BytesIO()
        np.savez_compressed(content, segmentation=np.ones(whole.shape_ZYX, np.uint8))
        bucket.put("{0}/{1}/seg-{0}_{1}_{2}.npz".format(*whole.min), content.getvalue())
    planned = plan_run(config(tmp_path, Path("x"), folder=bucket.url, name="{x}/{y}/seg-{x}_{y}_{z}.npz"))
    run, _ = planned.stored(str(tmp_path / "run"))
    receipt = execute(planned.plan, run, planned.plan.task("fragment/1_0_0"))
    assert list(receipt["inputs"]) == ["source/22/20/seg-22_20_30.npz"]
    assert receipt["figures"]["fragments"] == 1
