"""Contact rows from voxels: inside one leaf, and across two faces that meet.

Every voxel edge whose ends have two different labels counts, whatever its weight; edges into background do not.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from emseg.tasks.arrays.columns import I64, U8, U16, U32
from emseg.tasks.arrays.kernel import kernel
from emseg.tasks.arrays.rows import Gathered, Rows, add, doubled, gather, lacks, sorted_rows
from emseg.tasks.arrays.union import unite
from emseg.tasks.volume.bbox import BBox, Vec
from emseg.tasks.volume.codes import CHANNEL_BITS, Y_SHIFT, Z_SHIFT, voxel_code

STEP = (1, 1 << Y_SHIFT, 1 << Z_SHIFT)
PLANE_AXES = ((2, 1), (2, 0), (1, 0))  # axes of a plane's rows and columns, by the axis across it


def contact_rows(labels_ZYX: U32, weights_CZYX: U16, core: BBox) -> Rows:
    """Rows between labels of one leaf, u and v as label - 1.

    labels: uint32 [z, y, x] over the core, 1..n; weights: uint16 [3, z, y, x] over the core, edges without an end 0.
    """
    origin = np.uint64(voxel_code(core.min))
    return sorted_rows(_inner_rows(labels_ZYX, weights_CZYX, origin))


@kernel
def _inner_rows(labels: Any, w: Any, origin: Any) -> Any:
    depth, height, width = labels.shape
    g = gather(1024)
    for z in range(depth):
        for y in range(height):
            while lacks(g, 3 * width):
                g = doubled(g)
            code = origin + (np.uint64(z) << np.uint64(Z_SHIFT)) + (np.uint64(y) << np.uint64(Y_SHIFT))
            _gather_line(g, labels, w, z, y, code)
    return g


@kernel
def _gather_line(g: Gathered, labels: Any, w: Any, z: int, y: int, code: Any) -> None:
    """Contacts of the voxels of one line with their low neighbours; code is that of the line's first voxel."""
    one = np.uint64(1)
    for x in range(labels.shape[2]):
        u = labels[z, y, x]
        if u == 0:
            continue
        for c in range(3):
            if c == 0:
                v = labels[z, y, x - 1] if x > 0 else u
            elif c == 1:
                v = labels[z, y - 1, x] if y > 0 else u
            else:
                v = labels[z - 1, y, x] if z > 0 else u
            if v == 0 or v == u:
                continue
            weight = np.uint64(w[c, z, y, x])
            edge = (code + np.uint64(x)) << np.uint64(CHANNEL_BITS) | np.uint64(c)
            add(g, np.uint64(u) - one, np.uint64(v) - one, weight, one, weight, edge, edge)


def unite_across(lower: I64, upper: I64, on: U8, parent: I64) -> None:
    """Join, in `parent`, the indices on both sides of every ON edge; int64 planes, -1 background."""
    _unite_across(lower.reshape(-1), upper.reshape(-1), on.reshape(-1), parent)


@kernel
def _unite_across(lower: Any, upper: Any, on: Any, parent: Any) -> None:
    for i in range(len(on)):
        if on[i]:
            unite(parent, lower[i], upper[i])


def rows_across(lower: I64, upper: I64, weights: U16, axis: int, origin: Vec) -> Rows:
    """Rows between the indices of two planes that meet; int64 planes, -1 background.

    weights: uint16 [plane] of the crossing edges; origin: x, y, z of the first voxel of the upper plane.
    """
    rows, columns = PLANE_AXES[axis]
    steps = (np.uint64(STEP[rows]), np.uint64(STEP[columns]))
    return sorted_rows(_rows_across(lower, upper, weights, np.uint64(voxel_code(origin)), steps, np.uint64(axis)))


@kernel
def _rows_across(lower: Any, upper: Any, w: Any, origin: Any, steps: Any, channel: Any) -> Any:
    g = gather(1024)
    for i in range(w.shape[0]):
        while lacks(g, w.shape[1]):
            g = doubled(g)
        _gather_across(g, lower[i], upper[i], w[i], origin + np.uint64(i) * steps[0], (steps[1], channel))
    return g


@kernel
def _gather_across(g: Gathered, lower: Any, upper: Any, w: Any, code: Any, step_channel: Any) -> None:
    """Contacts across one line of two planes; code is that of the upper line's first voxel."""
    step, channel = step_channel
    for j in range(len(w)):
        u, v = lower[j], upper[j]
        if u < 0 or v < 0 or u == v:
            continue
        edge = (code + np.uint64(j) * step) << np.uint64(CHANNEL_BITS) | channel
        weight = np.uint64(w[j])
        add(g, np.uint64(u), np.uint64(v), weight, np.uint64(1), weight, edge, edge)
