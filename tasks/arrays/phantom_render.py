"""From tissue to grey values like FIB-SEM at 10 nm, and to affinities: functions of seed and place alone.

Figures of the image follow FIB-25: cytoplasm about 150 with cells of different shade, membranes down to 95 over some
30 nm, mitochondria dark and striped, vesicles, and sensor noise of about 7 grey levels.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from emseg.tasks.arrays.noise import hashed, keyed, normal, smooth, stirred, unit
from emseg.tasks.arrays.phantom_objects import EMPTY
from emseg.tasks.arrays.phantom_tissue import CORE, MARGIN, MITO_DEPTH

_STREAM_SHADE, _STREAM_GRAIN, _STREAM_FINE, _STREAM_SENSOR, _STREAM_VESICLE, _STREAM_EDGE = 41, 42, 43, 44, 45, 46
_STREAM_DETECTOR = 47
CYTOPLASM, SHADES, MEMBRANE, MITOCHONDRION, RESIN = 150.0, 26.0, 93.0, 108.0, 128.0
GRAIN, FINE, SENSOR, WIDTH = 10.0, 9.0, 6.5, 2.3
VESICLE_PITCH, VESICLE_LEVEL, VESICLE_DARK = 3.6, 0.62, 28.0


@numba.njit(cache=True)
def grey(
    image_ZYX: np.ndarray,
    labels_ZYX: np.ndarray,
    planes_CZYX: np.ndarray,
    state_ZYX: np.ndarray,
    seed: int,
    low: tuple[int, int, int],
    voxel: np.ndarray,
) -> None:
    """Fill an image (uint8 [z, y, x]) whose first voxel is `low`; `voxel` is the voxel's size in 10 nm."""
    shade, grain, fine = keyed(seed, _STREAM_SHADE), keyed(seed, _STREAM_GRAIN), keyed(seed, _STREAM_FINE)
    sensor, vesicle = keyed(seed, _STREAM_SENSOR), keyed(seed, _STREAM_VESICLE)
    for k in range(image_ZYX.shape[0]):
        for j in range(image_ZYX.shape[1]):
            for i in range(image_ZYX.shape[2]):
                x, y, z = (i + low[0]) * voxel[0], (j + low[1]) * voxel[1], (k + low[2]) * voxel[2]
                noise = SENSOR * normal(hashed(sensor, i + low[0], j + low[1], k + low[2]))
                texture = GRAIN * smooth(grain, x / 9.0, y / 9.0, z / 9.0) + FINE * smooth(
                    fine, x / 2.2, y / 2.2, z / 2.2
                )
                if state_ZYX[k, j, i] == EMPTY:
                    image_ZYX[k, j, i] = np.uint8(RESIN + noise)
                    continue
                owner = labels_ZYX[k, j, i]
                value = CYTOPLASM + SHADES * (2.0 * unit(stirred(owner ^ shade)) - 1.0) + texture
                margin, mito = planes_CZYX[MARGIN, k, j, i], planes_CZYX[MITO_DEPTH, k, j, i]
                if mito > 0.0 and margin > 3.5:
                    stripes = 12.0 * smooth(grain, x / 3.0, y / 14.0, z / 14.0)
                    rim = 22.0 * math.exp(-0.5 * mito * mito)
                    value = MITOCHONDRION + stripes + 0.6 * texture - rim
                elif margin > 4.0 and unit(stirred(owner ^ vesicle)) < 0.4:
                    spot = smooth(vesicle, x / VESICLE_PITCH, y / VESICLE_PITCH, z / VESICLE_PITCH)
                    if spot > VESICLE_LEVEL and planes_CZYX[CORE, k, j, i] < 24.0:
                        value -= VESICLE_DARK * (spot - VESICLE_LEVEL) / (1.0 - VESICLE_LEVEL)
                wall = math.exp(-((margin / WIDTH) ** 2))
                value += (MEMBRANE - value) * wall + 0.4 * texture * wall
                image_ZYX[k, j, i] = np.uint8(min(255.0, max(1.0, value + noise)))


@numba.njit(cache=True)
def add_noise(image_ZYX: np.ndarray, seed: int, low: tuple[int, int, int], sigma: float) -> None:
    """White noise of a standard deviation, in grey levels, on an image (uint8 [z, y, x]) whose first voxel is `low`."""
    key = keyed(seed, _STREAM_DETECTOR)
    for k in range(image_ZYX.shape[0]):
        for j in range(image_ZYX.shape[1]):
            for i in range(image_ZYX.shape[2]):
                value = image_ZYX[k, j, i] + sigma * normal(hashed(key, i + low[0], j + low[1], k + low[2]))
                image_ZYX[k, j, i] = np.uint8(min(255.0, max(0.0, math.floor(value + 0.5))))


@numba.njit(cache=True)
def edges(
    codes_CZYX: np.ndarray,
    labels_ZYX: np.ndarray,
    margin_ZYX: np.ndarray,
    seed: int,
    low: tuple[int, int, int],
    noisiness: float,
) -> None:
    """Fill affinity codes (uint8 [3, z, y, x], linear) of a box; labels and margins have one more voxel below, on each
    axis. An edge within a neuron is surer the further both ends are from a border."""
    keys = np.array([keyed(seed, _STREAM_EDGE), keyed(seed, _STREAM_EDGE + 1), keyed(seed, _STREAM_EDGE + 2)])
    for k in range(codes_CZYX.shape[1]):
        for j in range(codes_CZYX.shape[2]):
            for i in range(codes_CZYX.shape[3]):
                here, mine = labels_ZYX[k + 1, j + 1, i + 1], margin_ZYX[k + 1, j + 1, i + 1]
                for c in range(3):
                    a, b, d = k + 1 - (c == 2), j + 1 - (c == 1), i + 1 - (c == 0)
                    there = labels_ZYX[a, b, d]
                    value = 0.0
                    if here != 0 and there == here:
                        near = min(mine, margin_ZYX[a, b, d])
                        value = 0.35 + 0.64 * min(1.0, near / 3.0)
                    elif here != 0 and there != 0:
                        value = 0.06
                    value += noisiness * normal(hashed(keys[c], i + low[0], j + low[1], k + low[2]))
                    codes_CZYX[c, k, j, i] = np.uint8(255.0 * min(1.0, max(0.0, value)) + 0.5)
