"""Laws of boxes, checked against sets of voxels."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emseg.tasks.volume.bbox import BBox, vec
from emseg.tasks.volume.errors import ConfigError

low = st.tuples(*[st.integers(-6, 6)] * 3)
size = st.tuples(*[st.integers(0, 5)] * 3)
boxes = st.builds(BBox.sized, low, size)


def voxels(box: BBox) -> set[tuple[int, ...]]:
    return set(itertools.product(*(range(a, b) for a, b in zip(box.min, box.max, strict=True))))


@given(boxes, boxes)
def test_clipping_is_the_intersection(a, b):
    """A clipped box holds exactly the voxels of both, and never has a negative size."""
    assert voxels(a.clipped(b)) == voxels(a) & voxels(b)
    assert min(a.clipped(b).size) >= 0


@given(boxes, boxes)
def test_boxes_meet_where_they_share_a_voxel(a, b):
    """Two boxes meet if, and only if, some voxel lies in both."""
    assert a.meets(b) == bool(voxels(a) & voxels(b))


@given(boxes, boxes)
def test_the_join_holds_both(a, b):
    """The joined box holds both boxes and no smaller box does on any axis."""
    both = a.joined(b)
    assert both.min == tuple(map(min, a.min, b.min))
    assert both.max == tuple(map(max, a.max, b.max))


@given(boxes, boxes)
def test_a_box_holds_what_lies_inside(a, b):
    """A box holds another one that has voxels if, and only if, all of them are its own."""
    if not b.empty:
        assert a.holds(b) == (voxels(b) <= voxels(a))


@given(boxes)
def test_voxels_are_counted(box):
    """The number of voxels is the product of the sizes; empty means none."""
    assert box.voxels == len(voxels(box))
    assert box.empty == (not voxels(box))


@given(boxes, st.integers(0, 3), st.tuples(*[st.integers(0, 3)] * 3))
def test_padding_can_be_undone(box, low_vx, high_vx):
    """A box padded by some voxels and then by their negatives is itself."""
    back = box.padded(low_vx, high_vx).padded(-low_vx, [-p for p in high_vx])
    assert back == box


@given(boxes, low)
def test_shifting_moves_every_voxel(box, by):
    """A shifted box holds every voxel moved by the shift."""
    assert voxels(box.shifted(by)) == {tuple(map(sum, zip(v, by, strict=True))) for v in voxels(box)}


@given(boxes)
def test_slices_turn_geometry_into_arrays(box):
    """Slices z, y, x of a box cut an array of its own shape out of one that starts at the origin given."""
    origin = vec([a - 2 for a in box.min])
    array_ZYX = np.empty(box.padded(2).shape_ZYX)
    assert array_ZYX[box.slices_ZYX(origin)].shape == box.shape_ZYX == box.size[::-1]


@given(boxes)
def test_json_comes_back(box):
    """The JSON form of a box is its two corners, x, y, z."""
    assert BBox.of(*box.to_json()) == box
    assert BBox.of(*box) == box


def test_an_inverted_box_is_refused():
    """A maximum below the minimum is refused with what to write instead."""
    with pytest.raises(ConfigError, match="max is below min"):
        BBox.of((0, 0, 5), (1, 1, 4))


@pytest.mark.parametrize("values", [(), (1, 2), (1, 2, 3, 4)])
def test_a_triple_has_three_numbers(values):
    """Anything but three numbers is no x, y, z."""
    with pytest.raises(ConfigError, match="three integers"):
        vec(values)
