"""What breaks pipelines: somata larger than a chunk, a glial sheet through every chunk, a vessel, resin, blanks.

Every object is a function of seed and place (unit: 10 nm, unwarped), so any chunk sees its own part of it. An object
takes voxels from the neurites; what it returns is its id (0: resin or lumen, not tissue) and how far its border is.
"""

from __future__ import annotations

import math

import numpy as np

from emseg.tasks.arrays.kernel import kernel
from emseg.tasks.arrays.noise import hashed, keyed, smooth, unit

SOMA_CELL, SOMA_SHARE, SOMA_RADIUS = 1200.0, 0.7, (150.0, 260.0)
GLIA_PITCH, GLIA_HALF = 170.0, 0.05
VESSEL_CELL, VESSEL_RADIUS, VESSEL_WALL = 2400.0, 90.0, 14.0
RESIN_PITCH, RESIN_LEVEL = 900.0, 0.72
SOMA_ID, GLIA_ID, VESSEL_ID = 1 << 62, (1 << 62) - 1, (1 << 62) - 2  # somata count upwards, the others are one each
_STREAM_SOMA, _STREAM_GLIA, _STREAM_VESSEL, _STREAM_RESIN = 31, 32, 33, 34
NOTHING, TISSUE, EMPTY = 0, 1, 2
FAR = 7.0


@kernel
def soma_at(seed: int, x: float, y: float, z: float) -> tuple[np.uint64, float, float]:
    """Id of the soma at a place (0: none), distance to its border, and distance to its centre over its radius."""
    key = keyed(seed, _STREAM_SOMA)
    i, j, k = math.floor(x / SOMA_CELL), math.floor(y / SOMA_CELL), math.floor(z / SOMA_CELL)
    bits = hashed(key, i, j, k)
    if unit(bits) > SOMA_SHARE:
        return np.uint64(0), FAR, 1.0
    low, high = SOMA_RADIUS
    radius = low + (high - low) * unit(hashed(key, i, j, k + (1 << 20)))
    free = SOMA_CELL - 2.0 * radius - 20.0
    cx = i * SOMA_CELL + radius + 10.0 + free * unit(hashed(key, i + (1 << 20), j, k))
    cy = j * SOMA_CELL + radius + 10.0 + free * unit(hashed(key, i, j + (1 << 20), k))
    cz = k * SOMA_CELL + radius + 10.0 + free * unit(hashed(key, i + (1 << 20), j + (1 << 20), k))
    d = math.sqrt((x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2)
    number = np.uint64((k + (1 << 18)) << 38 | (j + (1 << 18)) << 19 | (i + (1 << 18)))
    return np.uint64(SOMA_ID) + number if d < radius else np.uint64(0), abs(radius - d), d / radius


@kernel
def glia_at(seed: int, x: float, y: float, z: float) -> float:
    """Distance to the border of the glial sheet: above 0 inside, below outside."""
    value = smooth(keyed(seed, _STREAM_GLIA), x / GLIA_PITCH, y / GLIA_PITCH, z / GLIA_PITCH)
    return float((GLIA_HALF - abs(value)) * 0.5 * GLIA_PITCH)


@kernel
def vessel_at(seed: int, x: float, y: float, z: float) -> float:
    """Distance to the axis of the nearest vessel, which runs along z and wanders."""
    key = keyed(seed, _STREAM_VESSEL)
    i, j = math.floor(x / VESSEL_CELL), math.floor(y / VESSEL_CELL)
    sway = VESSEL_CELL * 0.1
    cx = (i + 0.3 + 0.4 * unit(hashed(key, i, j, 0))) * VESSEL_CELL + sway * smooth(key, 0.5, j + 0.5, z / 500.0)
    cy = (j + 0.3 + 0.4 * unit(hashed(key, i, j, 1))) * VESSEL_CELL + sway * smooth(key, i + 0.5, 9.5, z / 500.0)
    return math.sqrt((x - cx) ** 2 + (y - cy) ** 2)


@kernel
def is_resin(seed: int, x: float, y: float, z: float) -> bool:
    """Whether a place is bare resin."""
    return bool(smooth(keyed(seed, _STREAM_RESIN), x / RESIN_PITCH, y / RESIN_PITCH, z / RESIN_PITCH) > RESIN_LEVEL)
