"""Which edges are ON, line by line: the best edge of every voxel, and which low edges unite a core.

Lines are contiguous and free of branches, so that the compiler makes vector instructions of them. A value of 0 stands
for an edge that is not there; it fails every threshold. Of equal weights the edge of the least key is the best, and
the six keys ascend in the order low x, y, z, then high x, y, z.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from emseg.tasks.arrays.coded import Affinities, Run, greatest_failing, line_of, ordered, run_of
from emseg.tasks.arrays.columns import U8, U16
from emseg.tasks.arrays.kernel import kernel
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.arrays.sides import weights_box
from emseg.tasks.volume.bbox import BBox

NONE = 7  # best edge of a background voxel
HIGH = 3  # best edges 0..2 are low x, y, z; 3..5 high x, y, z
X, Y, Z, FOREGROUND = 1, 2, 4, 8  # bits of a voxel: which of its low edges are ON; whether it has a best edge


def goes_on(read: BBox, bbox: BBox) -> tuple[bool, bool, bool]:
    """Whether the low edges of index 0 exist, for z, y, x."""
    x, y, z = (r > b for r, b in zip(read.min, bbox.min, strict=True))
    return z, y, x


def crossing_on(affinities: Affinities, weights: U16, core: BBox, bbox: BBox, axis: int, rules: Rules) -> U8:
    """0/1 plane: which edges across the low face of a core, along an axis on which bbox goes on, are ON.

    affinities: [3, z, y, x] over `weights_box(core, bbox)`, excluded edges already 0; weights: of these edges.
    """
    read = weights_box(core, bbox)
    top = [min(m, core.min[axis] + 2) if a == axis else m for a, m in enumerate(read.max)]
    slab = BBox.of(read.min, top)  # the planes on both sides, and the one above, for its low edges
    kept = ordered(affinities[(slice(None), *slab.slices_ZYX(read.min))], rules.w_low)
    best_ZYX = np.empty(slab.shape_ZYX, np.uint8)
    _best_planes(run_of(kept), goes_on(read, bbox), greatest_failing(kept, rules.w_low), best_ZYX)
    inside = core.slices_ZYX(read.min)
    below, above = (best_ZYX[tuple(at if 2 - a == axis else s for a, s in enumerate(inside))] for at in (0, 1))
    chosen = (weights >= rules.w_low) & ((above == axis) | (below == axis + HIGH))
    on: U8 = ((weights >= rules.w_high) | chosen).astype(np.uint8)
    return on


@kernel
def _best_planes(run: Run, goes_on: Any, fails: Any, best: Any) -> None:
    depth, width = best.shape[0], best.shape[2]
    spare = np.zeros(width, run.flat.dtype), np.zeros(width + 1, run.flat.dtype)
    for z in range(depth):
        best_plane(run, z, best.shape, goes_on, fails, spare, best[z])


@kernel
def best_plane(run: Run, z: int, shape: Any, goes_on: Any, fails: Any, spare: Any, out: Any) -> None:
    """Best edges of plane z of a volume of this shape; spare: two lines of zeros, the second a value longer."""
    depth, height, width = shape
    nothing, along = spare
    for y in range(height):
        along[:width] = line_of(run, 0, z, y, 0, width)
        if not goes_on[2]:
            along[0] = 0
        low_y = line_of(run, 1, z, y, 0, width) if y > 0 or goes_on[1] else nothing
        low_z = line_of(run, 2, z, y, 0, width) if z > 0 or goes_on[0] else nothing
        high_y = line_of(run, 1, z, y + 1, 0, width) if y + 1 < height else nothing
        high_z = line_of(run, 2, z + 1, y, 0, width) if z + 1 < depth else nothing
        _best_line((along[:width], low_y, low_z), (along[1:], high_y, high_z), fails, out[y])


@kernel
def _best_line(low: Any, high: Any, fails: Any, out: Any) -> None:
    """Best edge of each voxel of a line, NONE where the best is not above `fails`."""
    low_x, low_y, low_z = low
    high_x, high_y, high_z = high
    for x in range(len(out)):
        top, which = low_x[x], np.uint8(0)
        if low_y[x] > top:
            top, which = low_y[x], np.uint8(1)
        if low_z[x] > top:
            top, which = low_z[x], np.uint8(2)
        if high_x[x] > top:
            top, which = high_x[x], np.uint8(HIGH)
        if high_y[x] > top:
            top, which = high_y[x], np.uint8(1 + HIGH)
        if high_z[x] > top:
            top, which = high_z[x], np.uint8(2 + HIGH)
        out[x] = which if top > fails else np.uint8(NONE)


@kernel
def on_line(edges: Any, best: Any, below: Any, fails: Any, kept: Any, out: Any) -> None:
    """Bits of each voxel of a line.

    edges: its low edges along x, y, z. best: of its voxels; below: of the voxels at their low sides. fails: greatest
    values that fail t_low and t_high. kept: bits that may stand.
    """
    edge_x, edge_y, edge_z = edges
    below_x, below_y, below_z = below
    low, high = fails
    for x in range(len(out)):
        here = best[x]
        on_x = (edge_x[x] > high) | ((edge_x[x] > low) & ((here == 0) | (below_x[x] == HIGH)))
        on_y = (edge_y[x] > high) | ((edge_y[x] > low) & ((here == 1) | (below_y[x] == 1 + HIGH)))
        on_z = (edge_z[x] > high) | ((edge_z[x] > low) & ((here == 2) | (below_z[x] == 2 + HIGH)))
        bit_x = np.uint8(X) if on_x else np.uint8(0)
        bit_y = np.uint8(Y) if on_y else np.uint8(0)
        bit_z = np.uint8(Z) if on_z else np.uint8(0)
        bit = np.uint8(FOREGROUND) if here != NONE else np.uint8(0)
        out[x] = (bit | bit_x | bit_y | bit_z) & kept


@kernel
def needed_line(here: Any, below: Any, out: Any) -> None:
    """Bits of a line without the edges that unite nothing: those whose ends hang together by three others.

    A y edge falls if the x edges at both its ends and the y edge between their low ends are ON; a z edge likewise, by
    x edges or by y edges. Each leans on lesser voxels or channels only, so all may fall at once.
    here: bits; below: bits of the voxels at the low x, y and z sides.
    """
    below_x, below_y, below_z = below
    for x in range(len(out)):
        bits, at_x, at_y, at_z = here[x], below_x[x], below_y[x], below_z[x]
        by_x = (bits << 1) & at_x & (at_y << 1) & Y
        by_z = (((bits << 2) & at_x & (at_z << 2)) | ((bits << 1) & at_y & (at_z << 1))) & Z
        out[x] = bits & ~(by_x | by_z)
