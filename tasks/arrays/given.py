"""A leaf over fragments made elsewhere: their labels stand in for the ON edges.

An edge is ON if both its ends have the same label, not 0. So a fragment is a component of voxels of one label, over
the whole volume, however the leaves cut it: a label that lies in two places is two fragments.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from emseg.tasks.arrays.coded import Affinities, require_affinities
from emseg.tasks.arrays.columns import U8, U16, U64, Bool
from emseg.tasks.arrays.fragments import BACKGROUND, Pieces, number, require_countable
from emseg.tasks.arrays.kernel import kernel
from emseg.tasks.arrays.leaf import LeafResult, leaf_of
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.arrays.sides import excluded_box, given_box
from emseg.tasks.arrays.union import unite
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.codes import ids_at, require_coded
from emseg.tasks.volume.errors import LayerError


def given_leaf(
    given_ZYX: U64, affinities: Affinities, core: BBox, bbox: BBox, rules: Rules, excluded_ZYX: Bool | None = None
) -> LeafResult:
    """Given fragments, contact rows, S and A of one core.

    given_ZYX: uint64 [z, y, x] over `sides.given_box(core, bbox)`, 0 background; affinities: [3, z, y, x] over
    `sides.weights_box(core, bbox)`; excluded_ZYX: bool [z, y, x] over `sides.excluded_box(core, bbox)`.

    Raises:
        LayerError: arrays of another shape or dtype. LimitError: a core or a contact too large to count.
    """
    _require_shape(given_ZYX, core, bbox)
    require_affinities(affinities, core, bbox)
    require_coded(bbox, "bbox")
    require_countable(core)
    box = given_box(core, bbox)
    if excluded_ZYX is not None:
        outside = excluded_ZYX[box.slices_ZYX(excluded_box(core, bbox).min)]
        given_ZYX = np.where(outside, np.uint64(0), given_ZYX)
    inside = core.slices_ZYX(box.min)
    labels_ZYX, first, voxels = components(given_ZYX[inside])
    pieces = Pieces(labels_ZYX, ids_at(first, core), voxels)

    def on(axis: int, weights: U16) -> U8:
        at = inside[2 - axis].start
        above, below = (given_ZYX[tuple(p if 2 - a == axis else s for a, s in enumerate(inside))] for p in (at, at - 1))
        out: U8 = ((above == below) & (above > 0)).astype(np.uint8)
        return out

    return leaf_of(pieces, affinities, on, core, bbox, rules)


def components(given_ZYX: npt.NDArray[Any]) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64], U64]:
    """Face-connected components of equal labels: uint32 labels 1..n in raster order, 0 where the label is 0.

    Then, of each component, the flat index of its first voxel and its voxels.
    """
    labels_ZYX = np.empty(given_ZYX.shape, np.uint32)
    n = _unite_equal(np.ascontiguousarray(given_ZYX), labels_ZYX)
    first, voxels = np.empty(n, np.int64), np.zeros(n, np.uint64)
    number(labels_ZYX.reshape(-1), first, voxels)
    return labels_ZYX, first, voxels


def _require_shape(given_ZYX: U64, core: BBox, bbox: BBox) -> None:
    labels = given_box(core, bbox).shape_ZYX
    if given_ZYX.dtype != np.uint64 or given_ZYX.shape != labels:
        raise LayerError(f"given labels of core {core}: {given_ZYX.dtype} {given_ZYX.shape}, need uint64 {labels}")


@kernel
def _unite_equal(given: Any, parent: Any) -> int:
    """Union-find in `parent` (flat indices) over low neighbours of equal label. Returns the components."""
    depth, height, width = parent.shape
    flat = parent.reshape(-1)
    i = -1
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                i += 1
                here = given[z, y, x]
                if here == 0:
                    flat[i] = BACKGROUND
                    continue
                flat[i] = i
                if x > 0 and given[z, y, x - 1] == here:
                    unite(flat, i, i - 1)
                if y > 0 and given[z, y - 1, x] == here:
                    unite(flat, i, i - width)
                if z > 0 and given[z - 1, y, x] == here:
                    unite(flat, i, i - width * height)
    n = 0
    for j in range(len(flat)):
        n += flat[j] == j
    return n
