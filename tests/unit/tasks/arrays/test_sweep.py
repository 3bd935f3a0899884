"""The whole tree in memory: edge cases of boxes, and nodes that do not remember how they were cut."""

from __future__ import annotations

import numpy as np
import pytest
from laws.volumes import GRIDS, cuts_of, random_case, whole

from emseg.tasks.arrays.forest import Up
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.arrays.sweep import climb, sweep
from emseg.tasks.volume.bbox import BBox

RULES = Rules.of("0.02", "0.98", 5, "0.5")


@pytest.mark.parametrize("size", [(1, 1, 1), (2, 1, 1), (1, 1, 9), (3, 1, 2)])
def test_thin_boxes_are_no_special_case(size: tuple[int, int, int]) -> None:
    """Boxes one voxel thick, cut at every voxel, give what one chunk gives."""
    bbox = BBox.sized((-1, -1, -1), size)
    weights = np.random.default_rng(0).integers(0, 65536, (3, *bbox.shape_ZYX)).astype(np.uint16)
    cuts = [list(range(a, b + 1)) for a, b in zip(*bbox, strict=True)]
    one, other = sweep(weights, bbox, whole(bbox), RULES), sweep(weights, bbox, cuts, RULES)
    assert np.array_equal(one.fragments_ZYX, other.fragments_ZYX)
    assert np.array_equal(one.segments_ZYX, other.segments_ZYX)


@pytest.mark.parametrize("weight", [0, 65535])
def test_all_nothing_and_all_one(weight: int) -> None:
    """Weights of 0 give background only; weights of 1 give one fragment, called by the box's least voxel."""
    bbox = BBox.sized((5, 6, 7), (4, 4, 4))
    got = sweep(np.full((3, 4, 4, 4), weight, np.uint16), bbox, [[a, a + 2, a + 4] for a in bbox.min], RULES)
    expected = 0 if weight == 0 else 1 + (7 + 2**19 << 42 | 6 + 2**20 << 21 | 5 + 2**20)
    assert np.unique(got.fragments_ZYX).tolist() == [expected]
    assert np.unique(got.segments_ZYX).tolist() == [expected]


def test_ids_at_the_far_corner_survive() -> None:
    """At the greatest coordinates that have a code, ids and keys still fit."""
    bbox = BBox.of((2**20 - 6, 2**20 - 6, 2**19 - 6), (2**20, 2**20, 2**19))
    weights = np.random.default_rng(1).integers(0, 3, (3, 6, 6, 6)).astype(np.uint16) * np.uint16(32767)
    cuts = [[a, a + 2, a + 3, b] for a, b in zip(*bbox, strict=True)]
    one, other = sweep(weights, bbox, whole(bbox), RULES), sweep(weights, bbox, cuts, RULES)
    assert np.array_equal(one.fragments_ZYX, other.fragments_ZYX)
    assert np.array_equal(one.segments_ZYX, other.segments_ZYX)
    assert one.fragments_ZYX.max() > 2**60


def _state(up: Up) -> list[list[int]]:
    """Rows that wait, clusters and their voxels."""
    names = ("s_u", "s_v", "s_max", "s_edge", "a_u", "a_v", "a_sum", "a_count", "a_edge")
    cluster, number = np.unique(up.part_cluster, return_inverse=True)
    voxels = np.bincount(number, weights=up.part_voxels)
    return [getattr(up, name).tolist() for name in names] + [cluster.tolist(), voxels.tolist()]


@pytest.mark.parametrize("kind", GRIDS)
def test_a_node_does_not_remember_how_it_was_cut(kind: str) -> None:
    """Rows, clusters and sizes that leave a box with open sides are the same from one leaf as from many."""
    waiting = 0
    for seed in range(20):
        case = random_case(seed, 9, 15)
        part = BBox.of([a + 1 for a in case.bbox.min], [b - 2 for b in case.bbox.max])
        arrays = case.weights_CZYX, case.bbox
        one = climb(*arrays, whole(part), case.rules, case.excluded_ZYX).up
        other = climb(*arrays, cuts_of(kind, part, seed), case.rules, case.excluded_ZYX).up
        assert _state(one) == _state(other)
        waiting += len(one.s_u) + len(one.a_u)
    assert waiting > 100
