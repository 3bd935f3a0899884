"""The law on real affinities: a crop here, the whole block with `make test-real`."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from laws.volumes import whole

from emseg.tasks.arrays.rules import Rules
from emseg.tasks.arrays.sweep import sweep
from emseg.tasks.arrays.weights import weights_from_codes
from emseg.tasks.volume.bbox import BBox

DATA = Path(os.environ.get("EMSEG_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
FILE = DATA / "fib25" / "trial_affinities_b.h5"
RULES = Rules.of("0.02", "0.98", 200, "0.5", 100)


def _weights(size: int) -> np.ndarray:
    if not FILE.is_file():
        pytest.skip(f"real affinities are not at {FILE}; set EMSEG_DATA")
    with h5py.File(FILE) as file:
        return weights_from_codes(file["affinities"][:, :size, :size, :size])


def _agree(size: int, sides: list[tuple[int, int, int]]) -> None:
    weights, bbox = _weights(size), BBox.sized((1000, -50, 7), (size, size, size))
    one = sweep(weights, bbox, whole(bbox), RULES)
    assert len(np.unique(one.segments_ZYX)) > 3
    for side in sides:
        cuts = [[*range(a, b, s), b] for a, b, s in zip(*bbox, side, strict=True)]
        other = sweep(weights, bbox, cuts, RULES)
        assert np.array_equal(one.fragments_ZYX, other.fragments_ZYX)
        assert np.array_equal(one.segments_ZYX, other.segments_ZYX)


def test_a_real_crop_does_not_show_its_grid() -> None:
    """Three grids over 100³ voxels of real affinities: identical fragments and segments."""
    _agree(100, [(50, 50, 50), (33, 47, 99), (64, 25, 41)])


@pytest.mark.real
def test_the_whole_real_block_does_not_show_its_grid() -> None:
    """Three grids over 250³ voxels of real affinities: identical fragments and segments."""
    _agree(250, [(125, 125, 125), (83, 97, 249), (64, 128, 100)])
