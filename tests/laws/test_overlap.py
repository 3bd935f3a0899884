"""Overlap mode is measured: better than three naive ways, and the same whatever the order of tasks and the tree."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from laws.test_stored_results import digests, finished
from oracles.overlap import Chunks, Told, any_touch, blurred, border_runs, cut_up, matched, unmerged

from emseg.pipeline.config import RunConfig
from emseg.pipeline.execute import execute
from emseg.pipeline.planner import plan_run, rules_of
from emseg.pipeline.receipts import Ledger
from emseg.tasks.arrays.annotations import POINT
from emseg.tasks.arrays.contingency import contingency
from emseg.tasks.arrays.instances import InstanceLeaf, instance_leaf
from emseg.tasks.arrays.phantom import PhantomParams, phantom
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.arrays.scores import scores
from emseg.tasks.volume.bbox import BBox, Vec
from emseg.tasks.volume.grid import Grid
from emseg.tasks.volume.layer import open_layer
from emseg.tasks.volume.objects import Objects

BOX = BBox.sized((5, 7, 11), (120, 112, 104))
RULES = Rules(1, 65535, 0, 32768, 0, "max")
LEAST_VX = 50


@pytest.fixture(scope="module")
def truth_ZYX() -> np.ndarray:
    """Dense truth of a phantom, coarse, so that many neurites pass."""
    return phantom(BOX, PhantomParams(3, voxel_nm=(24.0, 24.0, 24.0)))[1]


def leaves_of(chunks: Chunks, grid: Grid) -> dict[Vec, InstanceLeaf]:
    """Leaves of all chunks."""
    return {index: instance_leaf(chunk, grid, index, RULES) for index, chunk in chunks.items()}


@pytest.mark.parametrize("blur", [False, True])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("step", "overlap"), [((40, 40, 40), (16, 16, 16)), ((36, 30, 44), (10, 8, 12))])
def test_overlap_mode_beats_three_naive_ways(
    truth_ZYX: np.ndarray, seed: int, step: Vec, overlap: Vec, blur: bool
) -> None:
    """Of 3 % of instances split or merged in each chunk, with borders alike or not: VI is below no merge, any touch,
    and runs along borders."""
    grid = Grid(BOX, step, overlap)
    chunks = cut_up(truth_ZYX, grid, seed)
    chunks = blurred(chunks, seed) if blur else chunks
    told = Told.of(chunks, grid)

    def vi(segments_ZYX: np.ndarray) -> float:
        found = scores(contingency(segments_ZYX, truth_ZYX))
        return found.vi_split + found.vi_merge

    mine = vi(matched(told, leaves_of(chunks, grid), LEAST_VX, RULES.w_mean))
    naive = {f.__name__: vi(f(told)) for f in (unmerged, any_touch, border_runs)}
    assert mine < min(naive.values()), naive


def test_sound_chunks_give_back_the_truth(truth_ZYX: np.ndarray) -> None:
    """Without mistakes nothing is merged wrongly, and nearly all that the cores can tell is joined."""
    grid = Grid(BOX, (40, 40, 40), (16, 16, 16))
    chunks = cut_up(truth_ZYX, grid, 0, wrong=0)
    found = scores(contingency(matched(Told.of(chunks, grid), leaves_of(chunks, grid), LEAST_VX, 32768), truth_ZYX))
    assert found.vi_merge == 0
    assert found.vi_split < 0.05


def files_of(folder: Path, chunks: Chunks, grid: Grid) -> None:
    """Chunks as flood-filling networks store them."""
    for index, chunk in chunks.items():
        x, y, z = grid.whole(index).min
        path = folder / str(x) / str(y) / f"seg-{x}_{y}_{z}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, segmentation=chunk.astype(np.uint16), request=np.array("text"))


def values_of(folder: Path, grid: Grid, dust_vx: int = 0) -> dict[str, Any]:
    """run.yaml of a folder of chunks."""
    given = {
        "folder": str(folder),
        "name": "{x}/{y}/seg-{x}_{y}_{z}.npz",
        "chunk_vx": tuple(c + o for c, o in zip(grid.chunk_vx, grid.overlap_vx, strict=True)),
        "overlap_vx": grid.overlap_vx,
        "voxel_nm": (24, 24, 24),
        "least_vx": LEAST_VX,
    }
    relabel = {"chunk_vx": (48, 64, 32), "dust_vx": dust_vx}
    return {"instances": given, "stages": {"relabel": relabel, "downsample": {"mips": 1}}}


def finished_forwards(folder: Path, **values: Any) -> Objects:
    """As `finished`, but in the plan's own order."""
    planned = plan_run(RunConfig.model_validate({"run": str(folder), "layers": {"chunk_vx": (16, 16, 16)}, **values}))
    run, _ = planned.stored(str(folder))
    ledger = Ledger(run)
    for key in planned.plan.keys():
        assert planned.plan.ready(key, ledger.exists), key
        ledger.finish(key, execute(planned.plan, run, planned.plan.task(key)))
    return run


def test_a_run_gives_what_one_pass_of_union_find_gives(tmp_path: Path, truth_ZYX: np.ndarray) -> None:
    """The tree adds nothing and loses nothing: segments are, ids included, those of all pairs united at once; in two
    orders of tasks the stored bytes are equal; fragments are the instances of each core."""
    grid = Grid(BOX, (36, 30, 44), (10, 8, 13))
    chunks = cut_up(truth_ZYX, grid, 5)
    files_of(tmp_path / "ffn", chunks, grid)
    values = values_of(tmp_path / "ffn", grid)
    run = finished(tmp_path / "run", **values)
    told = Told.of(chunks, grid)
    expected = matched(told, leaves_of(chunks, grid), LEAST_VX, RULES.w_mean)
    assert np.array_equal(open_layer(f"{run.url}/layers/segmentation").read_ZYX(BOX), expected)
    assert np.array_equal(open_layer(f"{run.url}/layers/fragments").read_ZYX(BOX), unmerged(told))
    again = finished_forwards(tmp_path / "again", **values)
    for layer in ("fragments", "segmentation", "conflicts"):
        assert digests(run, layer) == digests(again, layer)
    _check_conflicts(run, grid, expected)


def _check_conflicts(run: Objects, grid: Grid, segments_ZYX: np.ndarray) -> None:
    """The table and the annotation layer tell the same, each once, at voxels of one of the two segments."""
    rows = []
    for key in run.list("conflicts"):
        rows += list(csv.DictReader(run.require(key).decode().splitlines()))
    assert len(rows) > 5
    info = open_info(run)
    counted = 0
    for index in Grid(grid.bbox, grid.chunk_vx).indices():
        content = run.require(f"layers/conflicts/cells/{'_'.join(map(str, index))}")
        count = int(np.frombuffer(content[:8], "<u8")[0])
        points = np.frombuffer(content[8 : 8 + count * POINT.itemsize], POINT)
        ids = np.frombuffer(content[8 + count * POINT.itemsize :], "<u8")
        assert len(ids) == count
        low = [a + i * c for a, i, c in zip(info["lower_bound"], index, info["spatial"][0]["chunk_size"], strict=True)]
        assert all((p["place"] >= low).all() for p in points)
        assert all(run.exists(f"layers/conflicts/by_id/{name}") for name in ids)
        counted += count
    assert counted == len(rows)
    for row in rows:
        x, y, z = (int(row[axis]) for axis in "xyz")
        there = int(segments_ZYX[z - BOX.min[2], y - BOX.min[1], x - BOX.min[0]])
        assert there in (int(row["lower"]), int(row["upper"]))
        assert row["lower"] != row["upper"]
        assert row["reason"] in ("contested", "weak")


def open_info(run: Objects) -> dict[str, Any]:
    """`info` of the annotation layer."""
    return dict(json.loads(run.require("layers/conflicts/info")))


def test_the_rules_of_a_run_are_those_of_the_match(tmp_path: Path) -> None:
    """Only the score decides: no size rule, the greatest score of parallel rows, the threshold of run.yaml."""
    values = values_of(tmp_path, Grid(BOX, (40, 40, 40), (8, 8, 8)), dust_vx=9)
    values["stages"]["merge"] = {"threshold": "0.25"}
    rules = rules_of(RunConfig.model_validate({"run": "x", **values}))
    assert rules == Rules(1, 65535, 0, 16384, 9, "max")
