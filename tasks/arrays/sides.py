"""The six sides of a box, as names and as bits, and what a leaf must read around its core.

Bit 2 * axis is the low side of that axis (x, y, z), bit 2 * axis + 1 the high side.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emseg.tasks.arrays.columns import U8, U32
from emseg.tasks.volume.bbox import BBox, Vec

SIDES = ("x-", "x+", "y-", "y+", "z-", "z+")


def side_bit(axis: int, high: bool) -> int:
    """Bit of a side in a mask."""
    return 1 << (2 * axis + high)


def open_sides(core: BBox, bbox: BBox) -> int:
    """Mask of the sides of `core` behind which `bbox` goes on."""
    mask = 0
    for axis in range(3):
        mask |= side_bit(axis, False) * (core.min[axis] > bbox.min[axis])
        mask |= side_bit(axis, True) * (core.max[axis] < bbox.max[axis])
    return mask


def inner_sides(indices: Sequence[Vec]) -> list[int]:
    """Mask of the sides of each child that face another child."""
    here = set(indices)
    masks = []
    for index in indices:
        mask = 0
        for axis in range(3):
            for high in (False, True):
                beside = list(index)
                beside[axis] += 1 if high else -1
                mask |= side_bit(axis, high) * (tuple(beside) in here)
        masks.append(mask)
    return masks


def sides_of_pieces(labels_ZYX: U32, pieces: int, mask: int) -> U8:
    """uint8[pieces]: mask of those of the sides in `mask` on which each of the labels 1..pieces of a core lies."""
    sides = np.zeros(pieces + 1, np.uint8)
    for axis in range(3):
        for high in (False, True):
            bit = side_bit(axis, high)
            if mask & bit:
                sides[labels_ZYX.take(-1 if high else 0, 2 - axis)] |= np.uint8(bit)
    return sides[1:]


def weights_box(core: BBox, bbox: BBox) -> BBox:
    """Where a leaf reads weights: its core and one voxel on all sides, inside `bbox`."""
    return core.padded(1).clipped(bbox)


def excluded_box(core: BBox, bbox: BBox) -> BBox:
    """Where a leaf reads excluded voxels: its core, two voxels below and one above, inside `bbox`.

    Two below, because the voxel below the core loses its own low edge when that edge's lower end is excluded.
    """
    return core.padded(2, 1).clipped(bbox)


def given_box(core: BBox, bbox: BBox) -> BBox:
    """Where a leaf reads given labels: its core and one voxel below, inside `bbox`."""
    return core.padded(1, 0).clipped(bbox)
