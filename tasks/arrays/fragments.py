"""Fragments of one leaf: components of its ON edges, decided from its core and one voxel around it.

Edges have one strict order: weight descending, then edge key ascending. An edge is ON if it passes t_high, or passes
t_low and is the best edge of either end. A voxel whose best edge fails t_low is background.
1. `edges.best_plane`: for every voxel, which of its six edges comes first in the order; two planes are kept.
2. `edges.on_line`: which low edges of a voxel are ON; `edges.needed_line`: which of them may unite something new.
3. `_unite_line`: union of the ends of these; the root is the least voxel.
4. `number`: labels 1..n in raster order of the least voxel; piece id = 1 + its code, ascending with the label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from emseg.tasks.arrays.coded import (
    Affinities,
    Coded,
    Run,
    greatest_failing,
    line_of,
    ordered,
    require_affinities,
    run_of,
)
from emseg.tasks.arrays.columns import U32, U64, Bool
from emseg.tasks.arrays.edges import FOREGROUND, X, Y, Z, best_plane, goes_on, needed_line, on_line
from emseg.tasks.arrays.kernel import kernel
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.arrays.sides import excluded_box, weights_box
from emseg.tasks.arrays.union import find
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.codes import ids_at, require_coded
from emseg.tasks.volume.errors import LayerError, LimitError

BACKGROUND = 0xFFFFFFFF


@dataclass(frozen=True)
class Pieces:
    """Pieces of one leaf.

    labels_ZYX: uint32 over the core, 0 background. piece_ids: uint64[n] of labels 1..n, ascending. voxels: uint64[n].
    """

    labels_ZYX: U32
    piece_ids: U64
    voxels: U64


def fragments(affinities: Affinities, core: BBox, bbox: BBox, rules: Rules) -> Pieces:
    """Fragments of `core`; affinities [3, z, y, x] over `weights_box(core, bbox)`, excluded edges already 0.

    Raises:
        LayerError: affinities of another shape or dtype. LimitError: a core of 2^32 - 1 voxels or more.
    """
    read = weights_box(core, bbox)
    require_coded(bbox, "bbox")
    require_affinities(affinities, core, bbox)
    require_countable(core)
    kept = ordered(affinities, rules.w_low)
    fails = greatest_failing(kept, rules.w_low), greatest_failing(kept, rules.w_high)
    labels_ZYX = np.empty(core.shape_ZYX, np.uint32)
    low = tuple(c - r for c, r in zip(core.min[::-1], read.min[::-1], strict=True))
    n = _unite_core(run_of(kept), read.shape_ZYX, low, goes_on(read, bbox), fails, labels_ZYX)
    first, voxels = np.empty(n, np.int64), np.zeros(n, np.uint64)
    number(labels_ZYX.reshape(-1), first, voxels)
    return Pieces(labels_ZYX, ids_at(first, core), voxels)


def require_countable(core: BBox) -> None:
    """Refuse a core whose voxels uint32 labels cannot count.

    Raises:
        LimitError: a core of 2^32 - 1 voxels or more.
    """
    if core.voxels >= BACKGROUND:
        raise LimitError(
            f"core {core} has {core.voxels} voxels; a leaf holds fewer than {BACKGROUND}: take smaller chunks"
        )


def without_excluded(affinities: Affinities, excluded_ZYX: Bool, core: BBox, bbox: BBox) -> Affinities:
    """Copy of the affinities in which every edge with an excluded end is 0; bool [z, y, x] over `excluded_box`.

    Codes become weights if code 0 weighs something.

    Raises:
        LayerError: excluded voxels of another shape.
    """
    box, read = excluded_box(core, bbox), weights_box(core, bbox)
    if excluded_ZYX.dtype != np.bool_ or excluded_ZYX.shape != box.shape_ZYX:
        raise LayerError(
            f"excluded voxels of core {core}: {excluded_ZYX.dtype} {excluded_ZYX.shape}, need bool "
            f"{box.shape_ZYX} over {box}"
        )
    kept = ordered(affinities, 1)
    out: npt.NDArray[Any] = (kept.codes if isinstance(kept, Coded) else kept).copy()
    around = np.pad(excluded_ZYX, 1)  # a voxel beyond bbox: no edge leads there
    inside = read.slices_ZYX([m - 1 for m in box.min])
    for channel in range(3):
        below = tuple(slice(s.start - (2 - channel == a), s.stop - (2 - channel == a)) for a, s in enumerate(inside))
        out[channel][around[inside] | around[below]] = 0
    return Coded(out, kept.table) if isinstance(kept, Coded) else out


@kernel
def _unite_core(run: Run, shape: Any, low: Any, goes_on: Any, fails: Any, parent: Any) -> int:
    """Union-find over the core in `parent` (flat core indices). Returns the pieces.

    shape: of the read box; low: where the core begins in it, z, y, x.
    """
    depth, height, width = parent.shape
    flat = parent.reshape(-1)
    best = np.zeros((2, shape[1], shape[2] + 1), np.uint8)  # of two planes, a column wider at the low side
    bits = np.zeros((2, height + 1, width + 1), np.uint8)  # likewise, and a line longer
    needed = np.zeros(width, np.uint8)
    spare = np.zeros(shape[2], run.flat.dtype), np.zeros(shape[2] + 1, run.flat.dtype)
    x0, x1, n = low[2], low[2] + width, 0
    for z in range(depth):
        here, below = best[z & 1], best[(z + 1) & 1]
        on, on_below = bits[z & 1], bits[(z + 1) & 1]
        best_plane(run, z + low[0], shape, goes_on, fails[0], spare, here[:, 1:])
        for y in range(height):
            v = y + low[1]
            edges = (
                line_of(run, 0, z + low[0], v, x0, width),
                line_of(run, 1, z + low[0], v, x0, width),
                line_of(run, 2, z + low[0], v, x0, width),
            )
            beside = here[v, x0:x1], here[max(v - 1, 0), x0 + 1 : x1 + 1], below[v, x0 + 1 : x1 + 1]
            kept = FOREGROUND | X | (Y if y > 0 else 0) | (Z if z > 0 else 0)
            line = on[y + 1]
            on_line(edges, here[v, x0 + 1 : x1 + 1], beside, fails, np.uint8(kept), line[1:])
            line[1] &= np.uint8(0xFF - X)
            needed_line(line[1:], (line[:-1], on[y, 1:], on_below[y + 1, 1:]), needed)
            n += _unite_line(flat, (z * height + y) * width, needed, width, width * height)
    return n


@kernel
def _unite_line(flat: Any, start: int, needed: Any, width: int, plane: int) -> int:
    """Unite the voxels of one line, whose first has index `start`, with each other and with those below.

    Returns pieces begun less pieces joined.
    """
    n, root = 0, np.uint32(0)
    for x in range(len(needed)):
        i, bits = start + x, needed[x]
        if bits == FOREGROUND | X:  # most voxels
            flat[i] = root
            continue
        if bits == 0:
            flat[i] = BACKGROUND
            continue
        if bits & X == 0:
            root = np.uint32(i)
            n += 1
        flat[i] = root
        if bits & Y:
            other = find(flat, flat[i - width])
            n -= other != root
            flat[max(other, root)] = min(other, root)
            root = min(other, root)
        if bits & Z:
            other = find(flat, flat[i - plane])
            n -= other != root
            flat[max(other, root)] = min(other, root)
            root = min(other, root)
        flat[i] = root
    return n


@kernel
def number(flat: Any, first: Any, voxels: Any) -> None:
    """Turn parents into labels 1..n in raster order, in place; note each label's least index and its voxels."""
    n, length = 0, np.uint64(0)
    last, label = np.uint32(BACKGROUND), np.uint32(0)  # of the voxels just before, which are `length`
    for i in range(len(flat)):
        parent = flat[i]
        if parent == last:
            flat[i] = label
            length += np.uint64(1)
            continue
        if label > 0:
            voxels[label - 1] += length
        last, length = parent, np.uint64(1)
        if parent == BACKGROUND:
            label = np.uint32(0)
        elif parent == i:
            first[n] = i
            n += 1
            label = np.uint32(n)
        else:
            label = flat[parent]
        flat[i] = label
    if label > 0:
        voxels[label - 1] += length
