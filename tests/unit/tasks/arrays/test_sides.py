"""Which sides of a core are open, and what a leaf reads around it."""

from __future__ import annotations

from emseg.tasks.arrays.sides import SIDES, excluded_box, open_sides, side_bit, weights_box
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
