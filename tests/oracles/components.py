"""Connected components of a whole volume, as plainly as can be said: flood from every voxel."""

from __future__ import annotations

import itertools

import numpy as np

from emseg.tasks.volume.bbox import BBox
from oracles.stitching import voxel_code


def flooded(values_ZYX: np.ndarray, bbox: BBox, connectivity: int, dust_vx: int = 0) -> np.ndarray:
    """uint64 [z, y, x]: 1 + least code of each voxel's component, 0 for background and dust."""
    most = {6: 1, 18: 2, 26: 3}[connectivity]
    ways = [way for way in itertools.product((-1, 0, 1), repeat=3) if 0 < sum(map(abs, way)) <= most]
    out, seen = np.zeros(values_ZYX.shape, np.uint64), set()
    for start in np.ndindex(values_ZYX.shape):
        if not values_ZYX[start] or start in seen:
            continue
        seen.add(start)
        component = [start]
        for voxel in component:  # grows while it is walked
            for way in ways:
                beside = tuple(int(v) + w for v, w in zip(voxel, way, strict=True))
                inside = all(0 <= v < n for v, n in zip(beside, values_ZYX.shape, strict=True))
                if inside and beside not in seen and values_ZYX[beside] == values_ZYX[start]:
                    seen.add(beside)
                    component.append(beside)
        least = min(voxel_code(tuple(v + m for v, m in zip(voxel[::-1], bbox.min, strict=True))) for voxel in component)
        for voxel in component:
            out[voxel] = least + 1 if len(component) >= dust_vx else 0
    return out
