"""Contact rows from voxels: inside one leaf, and across two faces that meet.

Every voxel edge whose ends have two different labels counts, whatever its weight; edges into background do not.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from emseg.tasks.arrays.coded import Affinities, Run, run_of
from emseg.tasks.arrays.columns import I64, U8, U16, U32
from emseg.tasks.arrays.kernel import kernel
from emseg.tasks.arrays.rows import COUNT_LIMIT, Gathered, Rows, add, as_columns, gather, grown, lacks, taken
from emseg.tasks.arrays.union import unite
from emseg.tasks.volume.bbox import BBox, Vec
from emseg.tasks.volume.codes import CHANNEL_BITS, Y_SHIFT, Z_SHIFT, voxel_code
from emseg.tasks.volume.errors import LimitError

STEP = (1, 1 << Y_SHIFT, 1 << Z_SHIFT)
ROWS_A_LABEL = 5  # room to begin with: real affinities have 4.0, a phantom's resin 4.9
EDGES_A_ROW = 3  # likewise, across a face
PLANE_AXES = ((2, 1), (2, 0), (1, 0))  # axes of a plane's rows and columns, by the axis across it


def contact_rows(labels_ZYX: U32, affinities: Affinities, core: BBox) -> Rows:
    """Rows between labels of one leaf, u and v as label - 1.

    labels: uint32 [z, y, x] over the core, 1..n; affinities: [3, z, y, x] over the core.
    """
    depth, height, width = core.shape_ZYX
    labels, run, origin = np.ascontiguousarray(labels_ZYX), run_of(affinities), np.uint64(voxel_code(core.min))
    n = int(labels.max(initial=0))
    g, line = gather(max(3 * width, min(ROWS_A_LABEL * n, 3 * labels.size)), n), 0
    while line < depth * height:
        g = grown(g, 3 * width) if lacks(g, 3 * width) else g
        line = _gather_lines(g, labels, run, origin, line)
    rows = taken(g)
    del g  # its hash table
    return as_columns(rows)


@kernel
def _gather_lines(g: Gathered, labels: Any, run: Run, origin: Any, line: int) -> int:
    """Take the contacts of lines, from this one on, while the table has room; returns the line to go on with."""
    depth, height, width = labels.shape
    flat, back = labels.reshape(-1), np.array([1, width, width * height])
    nothing, along = np.zeros(width, np.uint32), np.zeros(width + 1, np.uint32)
    touching = np.zeros((width + 7) // 8 * 8, np.uint8)
    found = np.empty(3 * len(touching) + 1, np.int64)
    while line < depth * height and not lacks(g, 3 * width):
        z, y, start = line // height, line % height, line * width
        here = flat[start : start + width]
        along[1:] = here
        low_y = flat[start - back[1] : start - back[1] + width] if y > 0 else nothing
        low_z = flat[start - back[2] : start - back[2] + width] if z > 0 else nothing
        _touching_line(here, along, low_y, low_z, touching)
        code = origin + (np.uint64(z) << np.uint64(Z_SHIFT)) + (np.uint64(y) << np.uint64(Y_SHIFT))
        for k in range(_listed(touching, found)):
            x, c = found[k] >> CHANNEL_BITS, found[k] & 3
            u, v = here[x], flat[start + x - back[c]]
            value = run.flat[c * run.step_c + z * run.step_z + y * run.step_y + x]
            weight = np.uint64(run.table[value]) if len(run.table) > 0 else np.uint64(value)
            edge = (code << np.uint64(CHANNEL_BITS)) + np.uint64(found[k])
            add(g, np.uint64(u - 1), np.uint64(v - 1), weight, edge)
        line += 1
    return line


@kernel
def _touching_line(here: Any, low_x: Any, low_y: Any, low_z: Any, out: Any) -> None:
    """Bits of each voxel of a line: whether its low neighbour along x, y, z has another label; 0 is none."""
    for x in range(len(here)):
        u, a, b, c = here[x], low_x[x], low_y[x], low_z[x]
        by_x = np.uint8(1) if (a != u) & (a != 0) else np.uint8(0)
        by_y = np.uint8(2) if (b != u) & (b != 0) else np.uint8(0)
        by_z = np.uint8(4) if (c != u) & (c != 0) else np.uint8(0)
        out[x] = by_x | by_y | by_z if u != 0 else np.uint8(0)


@kernel
def _listed(touching: Any, found: Any) -> int:
    """Write x << 2 | channel of every bit, ascending, without a branch a voxel; returns how many there are."""
    n, words = 0, touching.view(np.uint64)
    for k in range(len(words)):
        if words[k] == 0:
            continue
        for x in range(8 * k, 8 * k + 8):
            bits = touching[x]
            for c in range(3):
                found[n] = x << CHANNEL_BITS | c
                n += (bits >> c) & 1
    return n


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

    Raises:
        LimitError: an index of 2^32 or more.
    """
    greater = np.maximum(lower, upper)[(lower >= 0) & (upper >= 0) & (lower != upper)]
    if not len(greater):
        return Rows.empty()
    least, most = int(greater.min()), int(greater.max())
    if most > COUNT_LIMIT:
        raise LimitError(f"a node counts {most} clusters, more than {COUNT_LIMIT}; use smaller leaves, or rounds")
    rows, columns = PLANE_AXES[axis]
    steps = (np.uint64(STEP[rows]), np.uint64(STEP[columns]))
    height, width = weights.shape
    g, line = gather(max(width + 1, len(greater) // EDGES_A_ROW), most, least), 0
    while line < height:
        g = grown(g, width) if lacks(g, width) else g
        line = _gather_across(g, (lower, upper, weights), np.uint64(voxel_code(origin)), steps, np.uint64(axis), line)
    return as_columns(taken(g))


@kernel
def _gather_across(g: Gathered, planes: Any, origin: Any, steps: Any, channel: Any, line: int) -> int:
    """Take the contacts across lines of two planes, as `_gather_lines` does."""
    lower, upper, w = planes
    while line < w.shape[0] and not lacks(g, w.shape[1]):
        code = origin + np.uint64(line) * steps[0]
        for j in range(w.shape[1]):
            u, v = lower[line, j], upper[line, j]
            if u < 0 or v < 0 or u == v:
                continue
            edge = (code + np.uint64(j) * steps[1]) << np.uint64(CHANNEL_BITS) | channel
            add(g, np.uint64(u), np.uint64(v), np.uint64(w[line, j]), edge)
        line += 1
    return line
