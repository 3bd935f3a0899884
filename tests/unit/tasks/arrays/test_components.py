"""Components of one core."""

from __future__ import annotations

import numpy as np
import pytest
from laws.component_sweeps import random_labels
from oracles.components import flooded

from emseg.tasks.arrays.components import above, components
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import LayerError, LimitError


@pytest.mark.parametrize("connectivity", [6, 18, 26])
@pytest.mark.parametrize("seed", range(5))
def test_pieces_are_what_a_flood_finds(seed: int, connectivity: int) -> None:
    """Ids ascend with the labels and are those of plain Python; voxels and values are those of the piece."""
    case = random_labels(seed, 3, 8)
    found = components(case.values_ZYX, case.bbox, connectivity)
    named = np.concatenate([np.zeros(1, np.uint64), found.piece_ids])[found.labels_ZYX]
    assert np.array_equal(named, flooded(case.values_ZYX, case.bbox, connectivity))
    assert (np.diff(found.piece_ids.astype(np.int64)) > 0).all()
    for i, (voxels, value) in enumerate(zip(found.voxels, found.values, strict=True), 1):
        assert (found.labels_ZYX == i).sum() == voxels
        assert (case.values_ZYX[found.labels_ZYX == i].astype(np.uint64) == value).all()


def test_neighbours_of_other_labels_stay_apart() -> None:
    """Two labels side by side are two components; a diagonal joins from 18 on, a far corner at 26."""
    values = np.zeros((2, 2, 4), np.uint8)
    values[0, 0, 0] = values[0, 1, 1] = values[1, 0, 2] = 5
    values[1, 1, 3] = 6
    assert [len(components(values, BBox.sized((0, 0, 0), (4, 2, 2)), c).piece_ids) for c in (6, 18, 26)] == [4, 3, 2]


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 1), (1, 1, 2)])
def test_thin_views_and_the_greatest_label(shape: tuple[int, int, int]) -> None:
    """A view one voxel thick, and labels of 2^64 - 1, count all voxels."""
    around = np.full((4, 4, 4), 2**64 - 1, np.uint64)
    view = around[tuple(slice(1, 1 + n) for n in shape)]
    found = components(view, BBox.sized((0, 0, 0), shape[::-1]), 26)
    assert found.voxels.tolist() == [np.prod(shape)]
    assert found.values.tolist() == [2**64 - 1]


def test_what_is_no_labels_is_refused() -> None:
    """Floats and another shape are refused, and a core that uint32 could not number."""
    core = BBox.sized((0, 0, 0), (2, 2, 2))
    for array in (np.zeros((2, 2, 2)), np.zeros((2, 2, 3), np.uint8)):
        with pytest.raises(LayerError, match="need integers"):
            components(array, core, 6)
    huge = BBox.sized((0, 0, 0), (2048, 2048, 1024))
    with pytest.raises(LimitError, match="smaller chunks"):
        components(np.broadcast_to(np.uint8(0), huge.shape_ZYX), huge, 6)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint64, np.float32])
@pytest.mark.parametrize("threshold", [-1.0, 0.0, 0.5, 2.0, 300.0])
def test_a_threshold_is_compared_exactly(dtype: type, threshold: float) -> None:
    """Above means above, also between integers, outside the type, and past the precision of floats."""
    values = np.array([0, 1, 2, 3, 101], dtype)
    assert above(values, threshold).tolist() == [float(v) > threshold for v in values]
    big = np.array([2**63, 2**63 + 1], np.uint64)
    assert above(big, float(2**63)).tolist() == [False, True]
    assert not above(np.array([np.nan], np.float32), 0.0).any()
    assert not above(np.array([0.1], np.float32), float(np.float32(0.1))).any()
