"""How tasks are told of a merge tree, and the layer of provisional labels below it."""

from __future__ import annotations

from typing import Any

from emseg.tasks.volume.bbox import vec
from emseg.tasks.volume.grid import Grid
from emseg.tasks.volume.info import LayerSpec, VoxelNm
from emseg.tasks.volume.tree import Tree

PROVISIONAL_CHUNK_VX = (32, 128)  # sides of a storage chunk of provisional labels; a leaf that none divides is one


def tree_field(tree: Tree) -> dict[str, Any]:
    """The field `leaves` of the tree's tasks."""
    shape = {"bbox": {"min": tree.bbox.min, "max": tree.bbox.max}, "chunk_vx": tree.chunk_vx, "fan_out": tree.fan_out}
    return {**shape, "overlap_vx": tree.overlap_vx} if any(tree.overlap_vx) else shape


def provisional_spec(leaves: Grid, voxel_nm: VoxelNm) -> LayerSpec:
    """Layer of the leaves' provisional labels; each leaf is a whole number of storage chunks."""
    chunk_vx = vec([divisor(min(c, n)) for c, n in zip(leaves.chunk_vx, leaves.bbox.size, strict=True)])
    return LayerSpec("segmentation", "uint32", 1, leaves.bbox, voxel_nm, chunk_vx, "raw", "zstd")


def divisor(side: int) -> int:
    """Side of a storage chunk that a leaf of this side holds a whole number of."""
    least, greatest = PROVISIONAL_CHUNK_VX
    return next((d for d in range(min(side, greatest), least - 1, -1) if side % d == 0), side)
