"""The scale rig measures the real thing: its labels are those of one chunk, and its sheet counts what it says."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bench.scale import measured, report, rules
from bench.scale_sheet import Level, above, far, laws_of, open_voxels
from bench.scale_tasks import TISSUE

from emseg.tasks.arrays.phantom import phantom_affinities
from emseg.tasks.arrays.sweep import sweep
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.grid import Grid

SIDE, LEAF = 64, 24
BOX = BBox.sized((0, 0, 0), (SIDE,) * 3)


@pytest.fixture(scope="module")
def one_chunk() -> dict[str, str]:
    """sha256 of the final labels of each leaf, by layer and chunk, from one sweep without a cut."""
    weights = phantom_affinities(BOX, TISSUE).astype(np.uint16) * np.uint16(257)
    swept = sweep(weights, BOX, [[0, SIDE]] * 3, rules())
    out = {}
    for name, labels_ZYX in (("fragments", swept.fragments_ZYX), ("segmentation", swept.segments_ZYX)):
        assert len(np.unique(labels_ZYX)) > 5
        grid = Grid(BOX, (LEAF,) * 3)
        for core in map(grid.core, grid.indices()):
            part = np.ascontiguousarray(labels_ZYX[core.slices_ZYX(BOX.min)])
            key = "_".join(f"{a}-{b}" for a, b in zip(core.min, core.max, strict=True))
            out[f"{name}/{key}"] = hashlib.sha256(part).hexdigest()
    return out


@pytest.mark.parametrize("above_level", [0, 1], ids=["a root", "rounds"])
def test_the_rig_labels_are_those_of_one_chunk(tmp_path: Path, one_chunk: dict[str, str], above_level: int) -> None:
    """Byte for byte, with a root and with rounds above the tree; the last line has its keys."""
    merge = {"rounds": {"above_level": above_level, "partitions": 3, "most": 60}}
    found = measured(SIDE, LEAF, tmp_path, merge, digests=True)
    digests = {}
    for path in (tmp_path / "taken").glob("relabel-*.json"):
        digests |= json.loads(path.read_text())["digests"]
    assert {"/".join([k.split("/")[1], k.rsplit("/", 1)[1]]): v for k, v in digests.items()} == one_chunk
    assert any(level["name"].startswith("rounds/R") for level in found["levels"]) == bool(above_level)
    last = json.loads(json.dumps(report({"tiny": found}, LEAF)))
    assert last["seconds_per_voxel"]["tiny"] > 0
    assert last["root_peak_bytes"]["tiny"] > last["graph_bytes_per_voxel"]["tiny"] > 0
    assert len(last["residual_share"]["tiny"]) >= 2


def test_a_rig_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    """A second run over the same folder executes nothing and says the same."""
    first = measured(32, 16, tmp_path)
    second = measured(32, 16, tmp_path)
    for name in ("seconds_per_voxel", "graph_bytes_per_voxel", "residual_share", "objects"):
        assert first[name] == second[name]


def test_the_sheet_counts_what_a_larger_tree_has(tmp_path: Path) -> None:
    """Extrapolating to the size that was run gives its tree; a budget ends the tree where nodes no longer fit."""
    found = measured(SIDE, 32, tmp_path)
    levels = [Level(**raw) for raw in found["levels"]]
    laws = laws_of(levels)
    assert far(laws, 32, SIDE)["levels"] == sum(level.held_bytes > 0 for level in levels) == 3
    assert far(laws, 32, SIDE)["objects"] > found["objects"]
    assert above(laws, 32, SIDE, 1 << 40)["last level"] == 3
    known = replace(laws, surface=40.0, factor=4.0, resident=3e8)  # a node over leaves of 32³ takes 8 MB more
    small = above(known, 32, 100 * SIDE, 316_000_000)
    assert small["last level"] == 1 < small["of"]
    assert small["partitions"] > 1
    assert open_voxels(BBox.sized((0, 0, 0), (32, 32, 32)), BOX) == 3 * 32**2
