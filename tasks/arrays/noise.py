"""Noise as a pure function of (seed, stream, global place): no state, so that a box can be cut in any way.

1. `hashed` mixes a key and an integer place into 64 bits: the place is spread by three odd constants, then the
   finaliser of SplitMix64 (Steele et al. 2014) stirs it.
2. White noise reads one hash per voxel; smooth noise blends the hashes at the eight corners of a lattice cell
   (value noise).

Only + − × ÷, shifts and exact roots are used, so that the same bytes come out on every machine.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from emseg.tasks.arrays.kernel import kernel

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_SPREAD_X = np.uint64(0xD6E8FEB86659FD93)
_SPREAD_Y = np.uint64(0xA0761D6478BD642F)
_SPREAD_Z = np.uint64(0xE7037ED1A0B428DB)
_S27, _S30, _S31, _S40 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(40)
_S16, _S32, _S48, _LOW_16 = np.uint64(16), np.uint64(32), np.uint64(48), np.uint64(0xFFFF)
_TO_UNIT = 1.0 / (1 << 24)
_TO_NORMAL = math.sqrt(3.0) / (1 << 16)  # four uniform 16-bit parts: variance 4 · 2^32 / 12


@kernel
def stirred(value: np.uint64) -> np.uint64:
    """64 bits stirred so that every input bit moves every output bit."""
    value = np.uint64(value)  # from Python a key comes as a plain integer, which would shift with its sign
    value = (value ^ (value >> _S30)) * _MIX_1
    value = (value ^ (value >> _S27)) * _MIX_2
    return np.uint64(value ^ (value >> _S31))


@kernel
def keyed(seed: int, stream: int) -> np.uint64:
    """Key of one stream of one seed."""
    return np.uint64(stirred(np.uint64(seed) * _GOLDEN + stirred(np.uint64(stream) + _GOLDEN)))


@kernel
def hashed(key: np.uint64, x: int, y: int, z: int) -> np.uint64:
    """64 random bits of a place (any integers, negative ones too)."""
    place = np.uint64(x) * _SPREAD_X + np.uint64(y) * _SPREAD_Y + np.uint64(z) * _SPREAD_Z
    return np.uint64(stirred(np.uint64(key) ^ place))


@kernel
def unit(bits: np.uint64) -> float:
    """Number in [0, 1), a multiple of 2^-24: exact in float32."""
    return float(np.uint64(bits) >> _S40) * _TO_UNIT


@kernel
def normal(bits: np.uint64) -> float:
    """Number of mean 0 and variance 1, nearly Gaussian (sum of four uniform parts), within ±3.47."""
    bits = np.uint64(bits)
    parts = (bits & _LOW_16) + ((bits >> _S16) & _LOW_16) + ((bits >> _S32) & _LOW_16) + (bits >> _S48)
    return (float(parts) - 131070.0) * _TO_NORMAL


@kernel
def eased(t: float) -> float:
    """Weight 0..1 with no slope at both ends (Perlin's cubic)."""
    return t * t * (3.0 - 2.0 * t)


@kernel
def _column(key: np.uint64, x: int, y: int, z: int, weight_y: float, weight_z: float) -> float:
    """Blend of the hashes at the four lattice points of column x round a place."""
    near, far = unit(hashed(key, x, y, z)), unit(hashed(key, x, y, z + 1))
    near += (unit(hashed(key, x, y + 1, z)) - near) * weight_y
    far += (unit(hashed(key, x, y + 1, z + 1)) - far) * weight_y
    return float(near + (far - near) * weight_z)


@kernel
def smooth(key: np.uint64, x: float, y: float, z: float) -> float:
    """Smooth noise in [-1, 1] at a place given in lattice cells."""
    i, j, k = math.floor(x), math.floor(y), math.floor(z)
    wy, wz = eased(y - j), eased(z - k)
    left, right = _column(key, i, j, k, wy, wz), _column(key, i + 1, j, k, wy, wz)
    return float(2.0 * (left + (right - left) * eased(x - i)) - 1.0)


@kernel
def smooth_row(key: np.uint64, low: int, step: float, y: float, z: float, out_X: npt.NDArray[np.float64]) -> None:
    """Fill a row (float64 [x]) with `smooth` at x = (low + n) * step; each column of the lattice is hashed once."""
    j, k = math.floor(y), math.floor(z)
    wy, wz = eased(y - j), eased(z - k)
    column = math.floor(low * step)
    left, right = _column(key, column, j, k, wy, wz), _column(key, column + 1, j, k, wy, wz)
    for n in range(len(out_X)):
        x = (low + n) * step
        i = math.floor(x)
        if i != column:
            left = right if i == column + 1 else _column(key, i, j, k, wy, wz)
            right, column = _column(key, i + 1, j, k, wy, wz), i
        out_X[n] = 2.0 * (left + (right - left) * eased(x - i)) - 1.0
