"""From tissue to grey values like FIB-SEM at 10 nm, and to affinities: functions of seed and place alone.

Figures of the image follow FIB-25: cytoplasm 126 to 194 by cell, the dark ones mottled and the pale ones specked,
membranes down to 95 over some 30 nm, mitochondria about 78 with soft edges, sensor noise of 4.6 grey levels. The whole
has mean 130 and standard deviation 34, give or take a tenth by seed.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from emseg.tasks.arrays.kernel import kernel
from emseg.tasks.arrays.noise import eased, hashed, keyed, normal, smooth_row, stirred, unit
from emseg.tasks.arrays.phantom_objects import EMPTY, SOMA
from emseg.tasks.arrays.phantom_tissue import CORE, MARGIN, MITO_DEPTH, SOFT

F64 = npt.NDArray[np.float64]
_STREAM_SHADE, _STREAM_GRAIN, _STREAM_FINE, _STREAM_SENSOR, _STREAM_VESICLE, _STREAM_EDGE = 41, 42, 43, 44, 45, 46
_STREAM_RETICULUM, _STREAM_CRISTAE, _STREAM_DETECTOR = 49, 50, 51
CYTOPLASM, SHADES, MEMBRANE, MITOCHONDRION, RESIN = 160.0, 34.0, 93.0, 78.0, 128.0
GRAIN, FINE, SENSOR, WIDTH = 12.0, 9.0, 4.6, 2.3
VESICLE_PITCH, VESICLE_LEVEL, VESICLE_DARK = 4.2, 0.5, 80.0
RETICULUM_PITCH, RETICULUM_HALF, RETICULUM_DARK = 13.0, 0.12, 30.0
PITCHES_NM10 = (9.0, 2.4, VESICLE_PITCH, RETICULUM_PITCH, 4.0)
_GRAIN, _FINE, _VESICLE, _RETICULUM, _CRISTAE = 0, 1, 2, 3, 4


@kernel
def _bell(t: float) -> float:
    """1 at 0, falling to 0 at ±2, within 0.08 of exp(−t²), by products alone."""
    u = max(0.0, 1.0 - 0.25 * t * t)
    u *= u
    return u * u


@kernel
def _cytoplasm(shade: float, noises: tuple[float, float, float, float]) -> float:
    """Grey of a neuron whose shade is 0 (dark, mottled) to 1 (pale, with dark specks)."""
    grain, fine, spot, sheet = noises
    value = CYTOPLASM + SHADES * (2.0 * shade - 1.0) + (1.2 - 0.4 * shade) * (GRAIN * grain + FINE * fine)
    value -= VESICLE_DARK * max(0.0, spot - VESICLE_LEVEL)
    return value - (1.1 - 0.6 * shade) * RETICULUM_DARK * max(0.0, 1.0 - abs(sheet) / RETICULUM_HALF) * max(0.0, grain)


@kernel
def _tissue_grey(shade: float, margin: float, mito: float, noises: F64) -> float:
    """Grey of a place in a neuron: cytoplasm, over it a mitochondrion with a soft edge, over it the membrane."""
    texture = GRAIN * noises[_GRAIN] + FINE * noises[_FINE]
    value = _cytoplasm(shade, (noises[_GRAIN], noises[_FINE], noises[_VESICLE], noises[_RETICULUM]))
    depth = min(mito, margin - 4.8)
    if depth > -SOFT:
        inside = eased(min(1.0, 0.5 * (depth / SOFT + 1.0)))
        organelle = MITOCHONDRION + 9.0 * noises[_CRISTAE] + 0.4 * texture - 7.0 * _bell(0.7 * depth)
        value += (organelle - value) * inside
    wall = _bell(margin / WIDTH)
    return float(value + (MEMBRANE + 0.5 * texture - value) * wall)


@kernel
def _soma_grey(margin: float, depth: float, noises: F64) -> float:
    """Grey of a place in a soma: `depth` within its nucleus, which has an envelope and clumps of dark chromatin."""
    texture = GRAIN * noises[_GRAIN] + FINE * noises[_FINE]
    value = CYTOPLASM - 22.0 + 1.3 * texture - RETICULUM_DARK * max(0.0, 1.0 - abs(noises[_RETICULUM]) / 0.2)
    if depth > 0.0:
        value = CYTOPLASM - 8.0 + texture - 45.0 * max(0.0, noises[_RETICULUM] - 0.1)
    value += (MEMBRANE - value) * 0.8 * _bell(depth / WIDTH)
    return float(value + (MEMBRANE - value) * _bell(margin / WIDTH))


@kernel
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
    shade, sensor = keyed(seed, _STREAM_SHADE), keyed(seed, _STREAM_SENSOR)
    streams = (_STREAM_GRAIN, _STREAM_FINE, _STREAM_VESICLE, _STREAM_RETICULUM, _STREAM_CRISTAE)
    rows_XN, row_X = np.empty((image_ZYX.shape[2], 5)), np.empty(image_ZYX.shape[2])
    for k in range(image_ZYX.shape[0]):
        for j in range(image_ZYX.shape[1]):
            y, z = (j + low[1]) * voxel[1], (k + low[2]) * voxel[2]
            for n in range(5):
                pitch = PITCHES_NM10[n]
                smooth_row(keyed(seed, streams[n]), low[0], voxel[0] / pitch, y / pitch, z / pitch, row_X)
                rows_XN[:, n] = row_X
            for i in range(image_ZYX.shape[2]):
                noises = rows_XN[i]
                margin, state = planes_CZYX[MARGIN, k, j, i], state_ZYX[k, j, i]
                value = RESIN
                if state == SOMA:
                    value = _soma_grey(margin, planes_CZYX[CORE, k, j, i], noises)
                elif state != EMPTY:
                    bright = unit(stirred(labels_ZYX[k, j, i] ^ shade))
                    value = _tissue_grey(bright, margin, planes_CZYX[MITO_DEPTH, k, j, i], noises)
                value += SENSOR * normal(hashed(sensor, i + low[0], j + low[1], k + low[2]))
                image_ZYX[k, j, i] = np.uint8(min(255.0, max(1.0, value + 0.5)))


@kernel
def add_noise(image_ZYX: np.ndarray, seed: int, low: tuple[int, int, int], sigma: float) -> None:
    """White noise of a standard deviation, in grey levels, on an image (uint8 [z, y, x]) whose first voxel is `low`."""
    key = keyed(seed, _STREAM_DETECTOR)
    for k in range(image_ZYX.shape[0]):
        for j in range(image_ZYX.shape[1]):
            for i in range(image_ZYX.shape[2]):
                value = image_ZYX[k, j, i] + sigma * normal(hashed(key, i + low[0], j + low[1], k + low[2]))
                image_ZYX[k, j, i] = np.uint8(min(255.0, max(0.0, value + 0.5)))


@kernel
def edges(
    codes_CZYX: np.ndarray,
    labels_ZYX: np.ndarray,
    margin_ZYX: np.ndarray,
    black_Z: np.ndarray,
    seed: int,
    low: tuple[int, int, int],
    noisiness: float,
) -> None:
    """Fill affinity codes (uint8 [3, z, y, x], linear) of a box; labels, margins and which sections are black have one
    more voxel below, on each axis. An edge within a neuron is surer the further both ends are from a border; one with
    an end in a black section is 0."""
    keys = np.array([keyed(seed, _STREAM_EDGE), keyed(seed, _STREAM_EDGE + 1), keyed(seed, _STREAM_EDGE + 2)])
    for k in range(codes_CZYX.shape[1]):
        if black_Z[k + 1]:
            codes_CZYX[:, k] = 0
            continue
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
        if black_Z[k]:
            codes_CZYX[2, k] = 0
