"""Which sides of a core are open, and what a leaf reads around it."""

from __future__ import annotations

import numpy as np

from emseg.tasks.arrays.sides import (
    SIDES,
    excluded_box,
    inner_sides,
    open_sides,
    side_bit,
    sides_of_pieces,
    weights_box,
)
from emseg.tasks.volume.bbox import BBox

BOX = BBox.of((-4, 0, 10), (6, 10, 20))


def test_bits_and_names_go_together() -> None:
    """Bit i of a mask is the side called SIDES[i]."""
    names = [SIDES[side_bit(axis, high).bit_length() - 1] for axis in range(3) for high in (False, True)]
    assert names == ["x-", "x+", "y-", "y+", "z-", "z+"]


def test_only_sides_inside_the_bbox_are_open() -> None:
    """A core that is the bbox has no open side; one in its corner has the three that face inwards."""
    assert open_sides(BOX, BOX) == 0
    corner = BBox.of((-4, 5, 10), (0, 10, 15))
    assert [SIDES[b] for b in range(6) if open_sides(corner, BOX) >> b & 1] == ["x+", "y-", "z+"]


def test_reads_stop_at_the_bbox() -> None:
    """Weights are read one voxel around the core, excluded voxels two below and one above, never outside bbox."""
    core = BBox.of((-3, 5, 18), (0, 10, 20))
    assert weights_box(core, BOX) == BBox.of((-4, 4, 17), (1, 10, 20))
    assert excluded_box(core, BOX) == BBox.of((-4, 3, 16), (1, 10, 20))


def test_children_know_their_sisters() -> None:
    """Of three children, each has the sides that face another one; a diagonal is no side."""
    masks = inner_sides([(0, 0, 4), (1, 0, 4), (1, 1, 4)])
    assert [{side for bit, side in enumerate(SIDES) if mask >> bit & 1} for mask in masks] == [
        {"x+"},
        {"x-", "y+"},
        {"y-"},
    ]


def test_pieces_lie_on_the_sides_that_they_touch() -> None:
    """Only sides in the mask count; a piece inside lies on none."""
    labels_ZYX = np.zeros((3, 4, 5), np.uint32)
    labels_ZYX[1, 1, 1], labels_ZYX[0, 2, 2:], labels_ZYX[2, 0, 0] = 1, 2, 3
    found = sides_of_pieces(labels_ZYX, 4, 0b111110)
    assert [{side for bit, side in enumerate(SIDES) if mask >> bit & 1} for mask in found] == [
        set(),
        {"x+", "z-"},
        {"y-", "z+"},
        set(),
    ]
