"""What breaks pipelines: somata larger than a chunk, a glial sheet through every chunk, a vessel, resin.

Every object is a function of seed and place (unit: 10 nm, unwarped), so any chunk sees its own part of it. An object
takes voxels from the neurites. They are laid row by row along x, so that what a row has in common is computed once:
the cell of the soma, the axis of the vessel, the lattice columns of the noise.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from emseg.tasks.arrays.kernel import kernel
from emseg.tasks.arrays.noise import hashed, keyed, smooth, smooth_row, unit

SOMA_CELL, SOMA_SHARE, SOMA_RADIUS, NUCLEUS = 1200.0, 0.7, (150.0, 260.0), 0.62
GLIA_PITCH, GLIA_HALF = 170.0, 0.05
VESSEL_CELL, VESSEL_RADIUS, VESSEL_WALL = 2400.0, 90.0, 14.0
RESIN_PITCH, RESIN_LEVEL = 900.0, 0.72
SOMA_ID, GLIA_ID, VESSEL_ID = 1 << 62, (1 << 62) - 1, (1 << 62) - 2  # somata count upwards, the others are one each
_STREAM_SOMA, _STREAM_GLIA, _STREAM_VESSEL, _STREAM_RESIN = 31, 32, 33, 34
NOTHING, TISSUE, EMPTY, SOMA = 0, 1, 2, 3
FAR = 7.0

F64 = npt.NDArray[np.float64]
F32 = npt.NDArray[np.float32]
U64 = npt.NDArray[np.uint64]
U8 = npt.NDArray[np.uint8]
Vec3 = tuple[int, int, int]


@kernel
def soma_of(seed: int, i: int, j: int, k: int, ball: F64) -> np.uint64:
    """Id of the soma of a cell (0: none); writes its centre x, y, z and radius to `ball`."""
    key = keyed(seed, _STREAM_SOMA)
    ball[:] = 0.0
    if unit(hashed(key, i, j, k)) > SOMA_SHARE:
        return np.uint64(0)
    low, high = SOMA_RADIUS
    far = 1 << 20
    radius = low + (high - low) * unit(hashed(key, i, j, k + far))
    free = SOMA_CELL - 2.0 * radius - 20.0
    ball[0] = i * SOMA_CELL + radius + 10.0 + free * unit(hashed(key, i + far, j, k))
    ball[1] = j * SOMA_CELL + radius + 10.0 + free * unit(hashed(key, i, j + far, k))
    ball[2] = k * SOMA_CELL + radius + 10.0 + free * unit(hashed(key, i + far, j + far, k))
    ball[3] = radius
    return np.uint64(SOMA_ID) + np.uint64((k + (1 << 18)) << 38 | (j + (1 << 18)) << 19 | (i + (1 << 18)))


@kernel
def vessel_of(seed: int, i: int, j: int, z: float) -> tuple[float, float]:
    """Centre x, y at height z of the vessel of a column of space; it runs along z and wanders."""
    key = keyed(seed, _STREAM_VESSEL)
    sway = VESSEL_CELL * 0.1
    x = (i + 0.3 + 0.4 * unit(hashed(key, i, j, 0))) * VESSEL_CELL + sway * smooth(key, 0.5, j + 0.5, z / 500.0)
    y = (j + 0.3 + 0.4 * unit(hashed(key, i, j, 1))) * VESSEL_CELL + sway * smooth(key, i + 0.5, 9.5, z / 500.0)
    return x, y


@kernel
def _lay_glia(value_X: F64, owner_X: U64, margin_X: F64, state_X: U8) -> None:
    """The sheet lies where the noise is near 0; its slope is taken as one, so the sheet's thickness varies."""
    for n in range(len(value_X)):
        depth = (GLIA_HALF - abs(value_X[n])) * 0.5 * GLIA_PITCH
        margin_X[n] = min(margin_X[n], abs(depth))
        if depth > 0.0:
            owner_X[n], state_X[n] = np.uint64(GLIA_ID), TISSUE


@kernel
def _lay_somata(seed: int, low: int, step: float, y: float, z: float, row: tuple[U64, F64, U8, F64]) -> None:
    owner_X, margin_X, state_X, nucleus_X = row
    ball, soma, cell = np.zeros(4), np.uint64(0), -(1 << 40)
    off, reach = 0.0, -1.0
    for n in range(len(owner_X)):
        x = (low + n) * step
        i = math.floor(x / SOMA_CELL)
        if i != cell:
            cell = i
            soma = soma_of(seed, i, math.floor(y / SOMA_CELL), math.floor(z / SOMA_CELL), ball)
            off = (y - ball[1]) ** 2 + (z - ball[2]) ** 2
            reach = (ball[3] + FAR) ** 2 if soma > 0 else -1.0
        square = off + (x - ball[0]) ** 2
        if square < reach:
            d = math.sqrt(square)
            if d < ball[3]:
                owner_X[n], margin_X[n], state_X[n] = soma, ball[3] - d, SOMA
                nucleus_X[n] = NUCLEUS * ball[3] - d
            else:
                margin_X[n] = min(margin_X[n], d - ball[3])


@kernel
def _lay_vessels(seed: int, low: int, step: float, y: float, z: float, row: tuple[U64, F64, U8, F64]) -> None:
    owner_X, margin_X, state_X, _ = row
    cell, cx, off = -(1 << 40), 0.0, 0.0
    inner = VESSEL_RADIUS - VESSEL_WALL
    for n in range(len(owner_X)):
        x = (low + n) * step
        i = math.floor(x / VESSEL_CELL)
        if i != cell:
            cell = i
            cx, cy = vessel_of(seed, i, math.floor(y / VESSEL_CELL), z)
            off = (y - cy) ** 2
        square = off + (x - cx) ** 2
        if square < (VESSEL_RADIUS + FAR) ** 2:
            d = math.sqrt(square)
            if d < inner:
                owner_X[n], margin_X[n], state_X[n] = 0, inner - d, EMPTY
            elif d < VESSEL_RADIUS:
                owner_X[n], margin_X[n], state_X[n] = VESSEL_ID, min(VESSEL_RADIUS - d, d - inner), TISSUE
            else:
                margin_X[n] = min(margin_X[n], d - VESSEL_RADIUS)


@kernel
def _merged(labels_X: U64, planes_CX: F32, state_X: U8, row: tuple[U64, F64, U8, F64]) -> None:
    """Write the row of objects over the tissue; beside an object the tissue keeps its owner and has a border."""
    owner_X, margin_X, laid_X, nucleus_X = row
    for n in range(len(labels_X)):
        if laid_X[n] != NOTHING:
            labels_X[n], state_X[n] = owner_X[n], laid_X[n]
            planes_CX[0, n] = margin_X[n]
            if len(planes_CX) > 1:
                planes_CX[1, n] = -FAR
                planes_CX[2, n] = nucleus_X[n] if laid_X[n] == SOMA else 4.0 * FAR
        else:
            planes_CX[0, n] = min(planes_CX[0, n], margin_X[n])


@kernel
def overlay(
    labels_ZYX: U64, planes_CZYX: F32, state_ZYX: U8, seed: int, low: Vec3, voxel: F64, flags: npt.NDArray[np.bool_]
) -> None:
    """Lay objects over a box of neurites whose first voxel is `low`; `voxel` is the voxel's size in 10 nm.

    Args:
        labels_ZYX: uint64, changed: owners.
        planes_CZYX: float32 [1 or 3, z, y, x], changed: margin, mitochondrion depth (none in objects), and in a soma
            the depth in its nucleus instead of the distance to the centre line.
        state_ZYX: uint8, changed: TISSUE, SOMA or EMPTY.
        flags: soma, glia, vessel, resin; each takes precedence over glia, soma, vessel in this order.
    """
    width = labels_ZYX.shape[2]
    owner_X, state_X = np.empty(width, np.uint64), np.empty(width, np.uint8)
    value_X, margin_X, nucleus_X = np.empty(width), np.empty(width), np.empty(width)
    row = (owner_X, margin_X, state_X, nucleus_X)
    glia, resin = keyed(seed, _STREAM_GLIA), keyed(seed, _STREAM_RESIN)
    for k in range(labels_ZYX.shape[0]):
        z = (k + low[2]) * voxel[2]
        for j in range(labels_ZYX.shape[1]):
            y = (j + low[1]) * voxel[1]
            owner_X[:], margin_X[:], state_X[:] = 0, FAR, NOTHING
            if flags[1]:
                smooth_row(glia, low[0], voxel[0] / GLIA_PITCH, y / GLIA_PITCH, z / GLIA_PITCH, value_X)
                _lay_glia(value_X, owner_X, margin_X, state_X)
            if flags[0]:
                _lay_somata(seed, low[0], voxel[0], y, z, row)
            if flags[2]:
                _lay_vessels(seed, low[0], voxel[0], y, z, row)
            if flags[3]:
                smooth_row(resin, low[0], voxel[0] / RESIN_PITCH, y / RESIN_PITCH, z / RESIN_PITCH, value_X)
                for n in range(width):
                    if value_X[n] > RESIN_LEVEL:
                        owner_X[n], margin_X[n], state_X[n] = 0, FAR, EMPTY
            _merged(labels_ZYX[k, j], planes_CZYX[:, k, j], state_ZYX[k, j], row)
