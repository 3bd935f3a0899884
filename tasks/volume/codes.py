"""Voxel codes: absolute coordinates in one uint64, so that ids and edge keys come from place alone.

code(x, y, z) = (z + 2^19) << 42 | (y + 2^20) << 21 | (x + 2^20); id = 1 + code;
edge key = code(upper voxel) << 2 | channel. The key fills 64 bits exactly.
Codes order voxels by z, then y, then x, and do not depend on any bbox.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emseg.tasks.volume.bbox import BBox, Vec
from emseg.tasks.volume.errors import ConfigError

X_LIMIT = Y_LIMIT = 1 << 20
Z_LIMIT = 1 << 19
Y_SHIFT, Z_SHIFT, CHANNEL_BITS = 21, 42, 2
MASK_21 = (1 << 21) - 1


def voxel_code(xyz: Sequence[int]) -> int:
    """Code of one voxel.

    Raises:
        ConfigError: outside ±2^20 (x, y) or ±2^19 (z).
    """
    x, y, z = (int(v) for v in xyz)
    if not (-X_LIMIT <= x < X_LIMIT and -Y_LIMIT <= y < Y_LIMIT and -Z_LIMIT <= z < Z_LIMIT):
        raise ConfigError(
            f"voxel {x},{y},{z} has no code: x and y must lie in [-{X_LIMIT}, {X_LIMIT}), "
            f"z in [-{Z_LIMIT}, {Z_LIMIT}); choose a coarser mip or a bbox nearer to the origin"
        )
    return (z + Z_LIMIT) << Z_SHIFT | (y + Y_LIMIT) << Y_SHIFT | (x + X_LIMIT)


def voxel_of(code: int) -> Vec:
    """Voxel x, y, z of a code."""
    code = int(code)
    return ((code & MASK_21) - X_LIMIT, (code >> Y_SHIFT & MASK_21) - Y_LIMIT, (code >> Z_SHIFT) - Z_LIMIT)


def require_coded(box: BBox, what: str) -> None:
    """Refuse a box with a voxel that has no code."""
    try:
        voxel_code(box.min)
        voxel_code([m - 1 for m in box.max])
    except ConfigError as error:
        raise ConfigError(f"{what} {box}: {error}") from None


def ids_at(first: np.ndarray, box: BBox) -> np.ndarray:
    """uint64 ids (1 + code) of the voxels at flat indices [z, y, x] of a box."""
    z, y, x = np.unravel_index(first, box.shape_ZYX)
    low = [int(c) for c in box.min]
    code = (z + (low[2] + Z_LIMIT)) << Z_SHIFT | (y + (low[1] + Y_LIMIT)) << Y_SHIFT | (x + (low[0] + X_LIMIT))
    out: np.ndarray = (code + 1).astype(np.uint64)
    return out


def codes_of_box(box: BBox) -> np.ndarray:
    """uint64 [z, y, x]: the code of every voxel of a box."""
    require_coded(box, "box")
    x, y, z = (
        (np.arange(a, b, dtype=np.int64) + limit).astype(np.uint64)
        for a, b, limit in zip(box.min, box.max, (X_LIMIT, Y_LIMIT, Z_LIMIT), strict=True)
    )
    out: np.ndarray = (
        (z << np.uint64(Z_SHIFT))[:, None, None] | (y << np.uint64(Y_SHIFT))[None, :, None] | x[None, None, :]
    )
    return out
