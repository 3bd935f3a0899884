"""Fragments of one leaf: components of its ON edges, decided from its core and one voxel around it.

Edges have one strict order: weight descending, then edge key ascending. An edge is ON if it passes t_high, or passes
t_low and is the best edge of either end. A voxel whose best edge fails t_low is background.
1. `best_edges`: for every voxel, which of its six edges comes first in the order. The six keys ascend in the order
   low x, y, z, then high x, y, z, so the first of the greatest weights is the best.
2. `unite_core`: union of the ends of ON edges inside the core; the root is the least voxel.
3. `number`: labels 1..n in raster order of the least voxel; piece id = 1 + its code, ascending with the label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from emseg.tasks.arrays.columns import U8, U16, U32, U64, Bool
from emseg.tasks.arrays.kernel import kernel
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.arrays.sides import excluded_box, weights_box
from emseg.tasks.arrays.union import unite
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.codes import ids_at, require_coded
from emseg.tasks.volume.errors import LayerError, LimitError

NONE = 7  # best edge of a background voxel
HIGH = 3  # best edges 0..2 are low x, y, z; 3..5 high x, y, z
BACKGROUND = 0xFFFFFFFF


@dataclass(frozen=True)
class Pieces:
    """Pieces of one leaf.

    labels_ZYX: uint32 over the core, 0 background. piece_ids: uint64[n] of labels 1..n, ascending. voxels: uint64[n].
    """

    labels_ZYX: U32
    piece_ids: U64
    voxels: U64


@dataclass(frozen=True)
class Fragments(Pieces):
    """Pieces made of ON edges.

    best_ZYX: uint8 over the read box, the best edge of every voxel up to the core's high sides.
    """

    best_ZYX: U8


def fragments(weights_CZYX: U16, core: BBox, bbox: BBox, rules: Rules) -> Fragments:
    """Fragments of `core`; uint16 [3, z, y, x] weights over `weights_box(core, bbox)`, excluded edges already 0.

    Raises:
        LayerError: weights of another shape or dtype. LimitError: a core of 2^32 - 1 voxels or more.
    """
    read = weights_box(core, bbox)
    require_coded(bbox, "bbox")
    if weights_CZYX.dtype != np.uint16 or weights_CZYX.shape != (3, *read.shape_ZYX):
        raise LayerError(
            f"weights of core {core}: {weights_CZYX.dtype} {weights_CZYX.shape}, need uint16 {(3, *read.shape_ZYX)}"
        )
    require_countable(core)
    goes_on = tuple(r > b for r, b in zip(read.min[::-1], bbox.min[::-1], strict=True))
    best_ZYX = np.full(read.shape_ZYX, NONE, np.uint8)
    best_edges(weights_CZYX, goes_on, rules.w_low, best_ZYX)
    labels_ZYX = np.empty(core.shape_ZYX, np.uint32)
    inside = core.slices_ZYX(read.min)
    n = unite_core(weights_CZYX[(slice(None), *inside)], best_ZYX[inside], rules.w_low, rules.w_high, labels_ZYX)
    first, voxels = np.empty(n, np.int64), np.zeros(n, np.uint64)
    number(labels_ZYX.reshape(-1), first, voxels)
    return Fragments(labels_ZYX, ids_at(first, core), voxels, best_ZYX)


def require_countable(core: BBox) -> None:
    """Refuse a core whose voxels uint32 labels cannot count.

    Raises:
        LimitError: a core of 2^32 - 1 voxels or more.
    """
    if core.voxels >= BACKGROUND:
        raise LimitError(
            f"core {core} has {core.voxels} voxels; a leaf holds fewer than {BACKGROUND}: take smaller chunks"
        )


def without_excluded(weights_CZYX: U16, excluded_ZYX: Bool, core: BBox, bbox: BBox) -> U16:
    """Copy of the weights in which every edge with an excluded end is 0; bool [z, y, x] over `excluded_box`.

    Raises:
        LayerError: excluded voxels of another shape.
    """
    box, read = excluded_box(core, bbox), weights_box(core, bbox)
    if excluded_ZYX.dtype != np.bool_ or excluded_ZYX.shape != box.shape_ZYX:
        raise LayerError(
            f"excluded voxels of core {core}: {excluded_ZYX.dtype} {excluded_ZYX.shape}, need bool "
            f"{box.shape_ZYX} over {box}"
        )
    out = weights_CZYX.copy()
    around = np.pad(excluded_ZYX, 1)  # a voxel beyond bbox: no edge leads there
    inside = read.slices_ZYX([m - 1 for m in box.min])
    for channel in range(3):
        below = tuple(slice(s.start - (2 - channel == a), s.stop - (2 - channel == a)) for a, s in enumerate(inside))
        out[channel][around[inside] | around[below]] = 0
    return out


@kernel
def best_edges(w: Any, goes_on: Any, w_low: int, best: Any) -> None:
    """Best edge of every voxel of the read box, NONE where it fails w_low.

    goes_on: whether the low edges of index 0 exist, for z, y, x.
    """
    depth, height, width = best.shape
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                top, which = np.int64(w_low) - 1, NONE
                if (x > 0 or goes_on[2]) and w[0, z, y, x] > top:
                    top, which = np.int64(w[0, z, y, x]), 0
                if (y > 0 or goes_on[1]) and w[1, z, y, x] > top:
                    top, which = np.int64(w[1, z, y, x]), 1
                if (z > 0 or goes_on[0]) and w[2, z, y, x] > top:
                    top, which = np.int64(w[2, z, y, x]), 2
                if x + 1 < width and w[0, z, y, x + 1] > top:
                    top, which = np.int64(w[0, z, y, x + 1]), 3
                if y + 1 < height and w[1, z, y + 1, x] > top:
                    top, which = np.int64(w[1, z, y + 1, x]), 4
                if z + 1 < depth and w[2, z + 1, y, x] > top:
                    which = 5
                best[z, y, x] = which


@kernel
def unite_core(w: Any, best: Any, low: int, high: int, parent: Any) -> int:
    """Union-find over the core in `parent` (flat core indices); w and best over the core. Returns the pieces."""
    depth, height, width = parent.shape
    flat = parent.reshape(-1)
    i = -1
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                i += 1
                here = best[z, y, x]
                if here == NONE:
                    flat[i] = BACKGROUND
                    continue
                flat[i] = i
                if x > 0 and is_on(w[0, z, y, x], low, high, here == 0, best[z, y, x - 1] == HIGH):
                    unite(flat, i, i - 1)
                if y > 0 and is_on(w[1, z, y, x], low, high, here == 1, best[z, y - 1, x] == 1 + HIGH):
                    unite(flat, i, i - width)
                if z > 0 and is_on(w[2, z, y, x], low, high, here == 2, best[z - 1, y, x] == 2 + HIGH):
                    unite(flat, i, i - width * height)
    n = 0
    for j in range(len(flat)):
        n += flat[j] == j
    return n


@kernel
def is_on(weight: Any, low: int, high: int, best_above: Any, best_below: Any) -> Any:
    """Whether an edge is ON, given whether it is the best edge of its upper and of its lower end."""
    return weight >= high or (weight >= low and (best_above or best_below))


@kernel
def number(flat: Any, first: Any, voxels: Any) -> None:
    """Turn parents into labels 1..n in raster order, in place; note each label's least index and its voxels."""
    n = 0
    for i in range(len(flat)):
        p = flat[i]
        if p == BACKGROUND:
            flat[i] = 0
            continue
        if p == i:
            first[n] = i
            n += 1
            flat[i] = n
        else:
            flat[i] = flat[p]
        voxels[flat[i] - 1] += np.uint64(1)
