"""Voxel codes depend on place alone, order voxels by z, y, x, and fill uint64 with the channel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.codes import X_LIMIT, Z_LIMIT, codes_of_box, ids_at, require_coded, voxel_code, voxel_of
from emseg.tasks.volume.errors import ConfigError

xy = st.integers(-X_LIMIT, X_LIMIT - 1)
voxels = st.tuples(xy, xy, st.integers(-Z_LIMIT, Z_LIMIT - 1))


@given(voxels)
def test_a_code_names_one_voxel(voxel):
    """The voxel of a voxel's code is that voxel."""
    assert voxel_of(voxel_code(voxel)) == voxel


@given(voxels, voxels)
def test_codes_are_in_the_order_of_arrays(a, b):
    """Codes compare as z, then y, then x."""
    assert (voxel_code(a) < voxel_code(b)) == (a[::-1] < b[::-1])


def test_the_formula_is_the_documented_one():
    """code = (z + 2^19) << 42 | (y + 2^20) << 21 | (x + 2^20)."""
    assert voxel_code((1, -2, 3)) == (3 + 2**19) << 42 | (-2 + 2**20) << 21 | (1 + 2**20)


def test_the_greatest_edge_key_fills_64_bits():
    """The last voxel's code with channel 3 is the last uint64."""
    assert voxel_code((X_LIMIT - 1, X_LIMIT - 1, Z_LIMIT - 1)) << 2 | 3 == 2**64 - 1


@given(st.tuples(*[st.integers(-1000, 1000)] * 3), st.tuples(*[st.integers(1, 4)] * 3))
def test_codes_of_a_box_are_those_of_its_voxels(low, size):
    """The codes of a box stand at [z, y, x], whatever the box."""
    box = BBox.sized(low, size)
    codes_ZYX = codes_of_box(box)
    assert codes_ZYX.dtype == np.uint64
    for z, y, x in np.ndindex(codes_ZYX.shape):
        assert int(codes_ZYX[z, y, x]) == voxel_code((low[0] + x, low[1] + y, low[2] + z))


@given(st.tuples(*[st.integers(-1000, 1000)] * 3), st.tuples(*[st.integers(1, 4)] * 3))
def test_ids_of_flat_indices_are_one_more_than_the_codes(low, size):
    """Id 1 + code of every voxel of a box, by its place in C-order."""
    box = BBox.sized(low, size)
    ids = ids_at(np.arange(box.voxels), box)
    assert ids.dtype == np.uint64
    assert np.array_equal(ids, codes_of_box(box).reshape(-1) + np.uint64(1))


@pytest.mark.parametrize("axis", range(3))
def test_voxels_without_a_code_are_refused(axis):
    """One voxel beyond either limit of any axis is refused, the limits themselves are not."""
    limit = Z_LIMIT if axis == 2 else X_LIMIT
    for place, allowed in ((-limit, True), (limit - 1, True), (-limit - 1, False), (limit, False)):
        voxel = [0, 0, 0]
        voxel[axis] = place
        box = BBox.sized(voxel, (1, 1, 1))
        if allowed:
            require_coded(box, "bbox")
            continue
        with pytest.raises(ConfigError, match=r"^bbox .*has no code"):
            require_coded(box, "bbox")
