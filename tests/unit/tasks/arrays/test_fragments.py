"""Fragments of a core against plain Python, and which edges an excluded voxel takes away."""

from __future__ import annotations

import numpy as np
import pytest
from laws.volumes import random_case
from oracles.stitching import fragments as plain_fragments
from oracles.stitching import voxel_edges

from emseg.tasks.arrays.coded import Coded
from emseg.tasks.arrays.fragments import fragments, without_excluded
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.arrays.sides import excluded_box, weights_box
from emseg.tasks.arrays.weights import LINEAR_UINT8
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.codes import voxel_code
from emseg.tasks.volume.errors import LayerError


@pytest.mark.parametrize("seed", range(20))
def test_a_whole_volume_gives_the_components_of_on_edges(seed: int) -> None:
    """Piece ids voxel by voxel are those of plain Python; labels count up with them; sizes are right."""
    case = random_case(seed)
    expected = plain_fragments(list(voxel_edges(case.weights_CZYX, case.bbox, None)), case.bbox, case.rules)
    got = fragments(case.weights_CZYX, case.bbox, case.bbox, case.rules)
    ids = np.concatenate([np.zeros(1, np.uint64), got.piece_ids])[got.labels_ZYX]
    for (x, y, z), name in expected.items():
        assert ids[z - case.bbox.min[2], y - case.bbox.min[1], x - case.bbox.min[0]] == name
    assert (ids > 0).sum() == len(expected)
    assert (got.piece_ids[1:] > got.piece_ids[:-1]).all()
    assert np.array_equal(got.voxels, np.bincount(got.labels_ZYX.ravel(), minlength=len(got.voxels) + 1)[1:])


@pytest.mark.parametrize("seed", range(20))
def test_a_core_decides_as_the_whole_volume_does(seed: int) -> None:
    """With one voxel around it a core has the background of the whole, and its pieces lie in the whole's."""
    case = random_case(seed, 6, 10)
    whole = fragments(case.weights_CZYX, case.bbox, case.bbox, case.rules)
    core = BBox.of([a + 2 for a in case.bbox.min], [b - 1 for b in case.bbox.max])
    weights = case.weights_CZYX[:, *weights_box(core, case.bbox).slices_ZYX(case.bbox.min)]
    part = fragments(weights, core, case.bbox, case.rules)
    inside = whole.labels_ZYX[core.slices_ZYX(case.bbox.min)]
    assert np.array_equal(part.labels_ZYX == 0, inside == 0)
    for label in range(1, len(part.piece_ids) + 1):
        assert len(np.unique(inside[part.labels_ZYX == label])) == 1


def test_the_least_edge_wins_a_tie() -> None:
    """A row of voxels whose edges are all equal: each voxel's best edge is its low one, so all hang together."""
    bbox = BBox.sized((0, 0, 0), (5, 1, 1))
    weights = np.full((3, 1, 1, 5), 40000, np.uint16)
    got = fragments(weights, bbox, bbox, Rules(1, 65535, 0, 0))
    assert got.piece_ids.tolist() == [1 + voxel_code((0, 0, 0))]
    weights[0, 0, 0] = [0, 40000, 39999, 40000, 39999]
    got = fragments(weights, bbox, bbox, Rules(1, 65535, 0, 0))
    assert got.labels_ZYX.ravel().tolist() == [1, 1, 2, 2, 2]


@pytest.mark.parametrize("seed", range(0, 40, 5))
def test_excluded_voxels_lose_all_their_edges(seed: int) -> None:
    """A core's weights without excluded edges are those of the whole, also for the voxel below the core."""
    case = random_case(seed)
    excluded = np.random.default_rng(seed).random(case.bbox.shape_ZYX) < 0.2
    kept = np.zeros_like(case.weights_CZYX)
    for weight, key, upper, _ in voxel_edges(case.weights_CZYX, case.bbox, excluded):
        x, y, z = (v - o for v, o in zip(upper, case.bbox.min, strict=True))
        kept[key & 3, z, y, x] = weight
    core = BBox.of([a + 3 for a in case.bbox.min], case.bbox.max)
    read = weights_box(core, case.bbox).slices_ZYX(case.bbox.min)
    mask = excluded[excluded_box(core, case.bbox).slices_ZYX(case.bbox.min)]
    before = case.weights_CZYX.copy()
    assert np.array_equal(without_excluded(case.weights_CZYX[:, *read], mask, core, case.bbox), kept[:, *read])
    assert np.array_equal(before, case.weights_CZYX)


def test_arrays_that_do_not_fit_the_box_are_refused() -> None:
    """Weights or excluded voxels of another shape or dtype are layer errors that say what is needed."""
    bbox, rules = BBox.sized((0, 0, 0), (4, 5, 6)), Rules(1, 2, 0, 0)
    weights = np.zeros((3, 6, 5, 4), np.uint16)
    with pytest.raises(LayerError, match=r"need uint16 \(3, 6, 5, 4\)"):
        fragments(weights[:, 1:], bbox, bbox, rules)
    with pytest.raises(LayerError, match="uint8"):
        fragments(weights.astype(np.uint8), bbox, bbox, rules)
    with pytest.raises(LayerError, match=r"need uint8 \(3, 6, 5, 4\)"):
        fragments(Coded(weights[:, 1:].astype(np.uint8), LINEAR_UINT8), bbox, bbox, rules)
    with pytest.raises(LayerError, match="excluded"):
        without_excluded(weights, np.zeros((6, 5, 5), bool), bbox, bbox)


def test_a_lone_voxel_is_background() -> None:
    """A voxel without any edge has no best edge that could pass t_low."""
    bbox = BBox.sized((7, 8, 9), (1, 1, 1))
    got = fragments(np.full((3, 1, 1, 1), 65535, np.uint16), bbox, bbox, Rules(1, 2, 0, 0))
    assert got.labels_ZYX.tolist() == [[[0]]]
    assert len(got.piece_ids) == 0
