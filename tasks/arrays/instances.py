"""A leaf of overlapping instance chunks: labels of any segmenter become pieces, and slabs that neighbours compare.

1. Every instance with a voxel in the core is a piece; its id is 1 + the code of its least core voxel, so it is unique.
2. A slab is what a chunk says of the voxels that it shares with a neighbour. Instances without a core voxel stand in
   it as strangers: they are evidence, and never join.
3. Pieces in a slab wait for the neighbour's word; the others are settled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt

from emseg.tasks.arrays.columns import I64, U32, U64, Columns
from emseg.tasks.arrays.faces import compact
from emseg.tasks.arrays.forest import Forest, Up
from emseg.tasks.arrays.fragments import require_countable
from emseg.tasks.arrays.kernel import kernel
from emseg.tasks.arrays.leaf import leaf_clusters, leaf_tables
from emseg.tasks.arrays.rows import Rows
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.arrays.settle import settle
from emseg.tasks.arrays.sides import SIDES, open_sides
from emseg.tasks.volume.bbox import BBox, Vec, vec
from emseg.tasks.volume.codes import ids_at
from emseg.tasks.volume.errors import LayerError
from emseg.tasks.volume.grid import Grid


@dataclass(frozen=True)
class Slab(Columns):
    """What one chunk says of the voxels that it shares with a neighbour.

    labels: uint32 [z, y, x] over `Grid.seam`, 0 background; i ≤ len(ids) names piece ids[i - 1], a greater one a
    stranger. ids: ascending.
    """

    noun: ClassVar[str] = "slab of a leaf"

    labels: Annotated[U32, "labels", 3]
    ids: Annotated[U64, "ids"]


@dataclass(frozen=True)
class InstanceLeaf:
    """labels_ZYX: uint32 over the core, 0 background, i is forest.cluster[i - 1]. slabs: by name of the open side."""

    labels_ZYX: U32
    slabs: dict[str, Slab]
    forest: Forest
    up: Up


def instance_leaf(given_ZYX: npt.NDArray[Any], grid: Grid, index: Vec, rules: Rules) -> InstanceLeaf:
    """Leaf of one chunk; given_ZYX: integers of 0 or more over `grid.whole(index)`, 0 background.

    Raises:
        LayerError: an array of another shape or dtype, or labels below 0. LimitError: a core too large to count.
    """
    whole, core = grid.whole(index), grid.core(index)
    _require_labels(given_ZYX, whole)
    require_countable(core)
    labels_ZYX, pieces = _numbered(given_ZYX, core.slices_ZYX(whole.min))
    inner_ZYX = np.ascontiguousarray(labels_ZYX[core.slices_ZYX(whole.min)])
    first, voxels = _first_and_voxels(inner_ZYX, pieces)
    ids = ids_at(first, core)
    sides, slabs = np.zeros(pieces, np.uint8), {}
    for bit in range(6):
        if open_sides(core, grid.bbox) >> bit & 1:
            slab, inside = _slab(labels_ZYX, whole, _seam(grid, index, bit), ids)
            slabs[SIDES[bit]] = slab
            sides[inside] |= np.uint8(1 << bit)
    settled = settle(leaf_clusters(ids, voxels, Rows.empty(), sides, rules), rules)
    forest, up = leaf_tables(ids, sides, settled)
    return InstanceLeaf(inner_ZYX, slabs, forest, up)


def _require_labels(given_ZYX: npt.NDArray[Any], whole: BBox) -> None:
    if given_ZYX.dtype.kind not in "ui" or given_ZYX.shape != whole.shape_ZYX:
        raise LayerError(
            f"chunk {whole}: holds {given_ZYX.dtype}{list(given_ZYX.shape)} [z, y, x], need integers "
            f"{list(whole.shape_ZYX)}; mend chunk_vx and overlap_vx, or the file"
        )
    if given_ZYX.dtype.kind == "i" and given_ZYX.size and given_ZYX.min() < 0:
        raise LayerError(f"chunk {whole}: holds the label {given_ZYX.min()}; ids are 0 (background) or more")


def _seam(grid: Grid, index: Vec, bit: int) -> BBox:
    """What a chunk shares with its neighbour on a side."""
    axis = bit // 2
    return grid.seam(vec([i + (a == axis and bit % 2) for a, i in enumerate(index)]), axis)


def _numbered(given_ZYX: npt.NDArray[Any], inside: tuple[slice, slice, slice]) -> tuple[U32, int]:
    """uint32 [z, y, x] over the chunk: pieces 1..n in raster order of their least core voxel, then strangers; and n."""
    labels_ZYX, known = _compacted(given_ZYX)
    first, _ = _first_and_voxels(np.ascontiguousarray(labels_ZYX[inside]), known)
    seen = first >= 0
    order = np.lexsort((np.arange(known), np.where(seen, first, np.iinfo(np.int64).max)))
    number = np.zeros(known + 1, np.uint32)
    number[order + 1] = np.arange(1, known + 1, dtype=np.uint32)
    return number[labels_ZYX], int(seen.sum())


def _compacted(given_ZYX: npt.NDArray[Any]) -> tuple[U32, int]:
    """uint32 [z, y, x]: labels as 0 (background) and 1..n in order of their value; and n. Runs are few: sort those."""
    flat = np.ascontiguousarray(given_ZYX).reshape(-1)
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    values, which = np.unique(flat[starts], return_inverse=True)
    number = which + (0 if values[0] == 0 else 1)
    lengths = np.diff(np.append(starts, flat.size))
    return np.repeat(number.astype(np.uint32), lengths).reshape(given_ZYX.shape), int(number.max())


def _first_and_voxels(labels_ZYX: U32, n: int) -> tuple[I64, U64]:
    """Flat index of the first voxel (-1: none) and the voxels of labels 1..n."""
    first, voxels = np.full(n, -1, np.int64), np.zeros(n, np.uint64)
    _count(labels_ZYX.reshape(-1), first, voxels)
    return first, voxels


@kernel
def _count(flat: Any, first: Any, voxels: Any) -> None:
    for i in range(len(flat)):
        at = np.int64(flat[i]) - 1
        if at < 0 or at >= len(first):
            continue
        if first[at] < 0:
            first[at] = i
        voxels[at] += np.uint64(1)


def _slab(labels_ZYX: U32, whole: BBox, seam: BBox, ids: U64) -> tuple[Slab, I64]:
    """A slab with labels counted anew, and the numbers of the pieces in it."""
    part = labels_ZYX[seam.slices_ZYX(whole.min)]
    every = np.arange(1, int(labels_ZYX.max(initial=0)) + 1, dtype=np.uint64)
    plane, kept = compact(part, every)
    inside = kept[kept <= len(ids)].astype(np.int64) - 1
    return Slab(plane, ids[inside]), inside
