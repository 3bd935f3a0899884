"""The tiers of a merge tree above its leaves, and the layer of provisional labels below it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emseg.pipeline.tier import Need, Tier
from emseg.tasks.volume.bbox import vec
from emseg.tasks.volume.grid import Grid, tree_levels
from emseg.tasks.volume.info import LayerSpec, VoxelNm

PROVISIONAL_CHUNK_VX = (32, 128)  # sides of a storage chunk of provisional labels; a leaf that none divides is one


def tree_tiers(
    leaves: Grid, leaf: Need, merge: tuple[str, Mapping[str, Any]], resolve: Mapping[str, Any]
) -> list[Tier]:
    """Tiers merge/L1 up to the root and resolve/L<root> down to 1.

    Args:
        leaves: grid of the leaves.
        leaf: what the lowest nodes need: the tier of the leaves.
        merge: kind and fields of the nodes on the way up; `level` is added.
        resolve: fields of the way down; `level` and `levels` are added.
    """
    kind, fields = merge
    levels, tiers = tree_levels(leaves), []
    for level in range(1, levels + 1):
        below = leaf if level == 1 else Need(f"merge/L{level - 1}")
        tiers.append(
            Tier(f"merge/L{level}", kind, leaves.scaled(2**level), {**fields, "level": level}, (below,), "big")
        )
    for level in range(levels, 0, -1):
        above = (Need(f"resolve/L{level + 1}"),) if level < levels else ()
        down = {**resolve, "level": level, "levels": levels}
        needs = (Need(f"merge/L{level}"), *above)
        tiers.append(Tier(f"resolve/L{level}", "resolve", leaves.scaled(2**level), down, needs, "big", final=True))
    return tiers


def tree_field(leaves: Grid) -> dict[str, Any]:
    """The field `leaves` of the tree's tasks."""
    shape = {"bbox": {"min": leaves.bbox.min, "max": leaves.bbox.max}, "chunk_vx": leaves.chunk_vx}
    return {**shape, "overlap_vx": leaves.overlap_vx} if any(leaves.overlap_vx) else shape


def provisional_spec(leaves: Grid, voxel_nm: VoxelNm) -> LayerSpec:
    """Layer of the leaves' provisional labels; each leaf is a whole number of storage chunks."""
    chunk_vx = vec([divisor(min(c, n)) for c, n in zip(leaves.chunk_vx, leaves.bbox.size, strict=True)])
    return LayerSpec("segmentation", "uint32", 1, leaves.bbox, voxel_nm, chunk_vx, "raw", "zstd")


def divisor(side: int) -> int:
    """Side of a storage chunk that a leaf of this side holds a whole number of."""
    least, greatest = PROVISIONAL_CHUNK_VX
    return next((d for d in range(min(side, greatest), least - 1, -1) if side % d == 0), side)
