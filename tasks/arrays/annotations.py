"""Points in Neuroglancer's precomputed annotation format: what stands in `info`, in a spatial cell, and by id.

Integers and floats are little-endian. A point is three float32 in voxels, then its properties, widest first, padded to
four bytes. A cell holds the number of its points, the points, and their ids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from emseg.tasks.arrays.columns import U64
from emseg.tasks.arrays.match import REASONS, Conflicts
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.codes import MASK_21, X_LIMIT, Y_LIMIT, Y_SHIFT, Z_LIMIT, Z_SHIFT
from emseg.tasks.volume.grid import Grid

CELL_LIMIT = 1000  # points of a cell that a far view draws
AXIS_BITS = 2
RELATED = np.dtype([("count", "<u4"), ("segment", "<u8")])  # packed: 12 bytes
POINT = np.dtype(
    [
        ("place", "<f4", 3),
        ("voxels", "<u4"),
        ("lower_voxels", "<u4"),
        ("upper_voxels", "<u4"),
        ("score", "<f4"),
        ("reason", "u1"),
        ("padding", "u1", 3),
    ]
)


def annotation_info(grid: Grid, voxel_nm: Sequence[float]) -> dict[str, Any]:
    """`info` of the conflicts of a run over a grid of cells."""
    counts = ("voxels", "lower_voxels", "upper_voxels")
    properties: list[Mapping[str, Any]] = [{"id": name, "type": "uint32"} for name in counts]
    labels = {"enum_values": list(REASONS), "enum_labels": list(REASONS.values())}
    return {
        "@type": "neuroglancer_annotations_v1",
        "dimensions": {axis: [nm * 1e-9, "m"] for axis, nm in zip("xyz", voxel_nm, strict=True)},
        "lower_bound": list(grid.bbox.min),
        "upper_bound": list(grid.bbox.max),
        "annotation_type": "POINT",
        "properties": [*properties, {"id": "score", "type": "float32"}, {"id": "reason", "type": "uint8", **labels}],
        "relationships": [{"id": name, "key": f"rel_{name}"} for name in ("lower", "upper")],
        "by_id": {"key": "by_id"},
        "spatial": [
            {
                "key": "cells",
                "grid_shape": list(grid.shape),
                "chunk_size": list(grid.chunk_vx),
                "limit": CELL_LIMIT,
            }
        ],
    }


def places_of(codes: U64) -> np.ndarray:
    """int64 [n, 3]: x, y, z of voxel codes."""
    code = codes.astype(np.int64)
    x, y = (code & MASK_21) - X_LIMIT, (code >> Y_SHIFT & MASK_21) - Y_LIMIT
    return np.stack([x, y, (code >> Z_SHIFT) - Z_LIMIT], axis=1)


def within(conflicts: Conflicts, box: BBox) -> np.ndarray:
    """bool[n]: conflicts whose place lies in a box."""
    place = places_of(conflicts.place)
    inside = (place >= box.min) & (place < box.max)
    out: np.ndarray = inside[:, 0] & inside[:, 1] & inside[:, 2]
    return out


def annotation_ids(conflicts: Conflicts) -> U64:
    """uint64[n]: a conflict is known by its place and axis."""
    out: U64 = conflicts.place << np.uint64(AXIS_BITS) | conflicts.axis
    return out


def points(conflicts: Conflicts) -> np.ndarray:
    """POINT[n]: conflicts as they are stored, at the middle of their voxel."""
    out = np.zeros(len(conflicts.place), POINT)
    out["place"] = places_of(conflicts.place) + 0.5
    for name in ("voxels", "lower_voxels", "upper_voxels", "reason"):
        out[name] = getattr(conflicts, name)
    out["score"] = conflicts.score / np.float32(65535)
    return out


def cell_bytes(conflicts: Conflicts) -> bytes:
    """One spatial cell."""
    count = np.array([len(conflicts.place)], "<u8")
    return b"".join(a.tobytes() for a in (count, points(conflicts), annotation_ids(conflicts).astype("<u8")))


def single_bytes(point: np.void, segments: Sequence[int]) -> bytes:
    """One point by id, with one segment for each relationship."""
    related = [np.array([(1, segment)], RELATED) for segment in segments]
    return b"".join([point.tobytes(), *(r.tobytes() for r in related)])
