"""Noise as a pure function of (seed, stream, global place): no state, so that a box can be cut in any way.

1. `hashed` mixes a key and an integer place into 64 bits: the place is spread by three odd constants, then the
   finaliser of SplitMix64 (Steele et al. 2014) stirs it.
2. White noise reads one hash per voxel; smooth noise blends the hashes at the eight corners of a lattice cell.

Only + − × ÷, shifts and exact roots are used, so that the same bytes come out on every machine.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from emseg.tasks.arrays.kernel import kernel
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import ConfigError

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
def _edge(key: np.uint64, x: int, y: int, z: int, weight: float) -> float:
    low = unit(hashed(key, x, y, z))
    return float(low + (unit(hashed(key, x + 1, y, z)) - low) * weight)


@kernel
def smooth(key: np.uint64, x: float, y: float, z: float) -> float:
    """Smooth noise in [-1, 1] at a place given in lattice cells."""
    i, j, k = math.floor(x), math.floor(y), math.floor(z)
    wx, wy, wz = eased(x - i), eased(y - j), eased(z - k)
    a, b = _edge(key, i, j, k, wx), _edge(key, i, j + 1, k, wx)
    c, d = _edge(key, i, j, k + 1, wx), _edge(key, i, j + 1, k + 1, wx)
    low = a + (b - a) * wy
    high = c + (d - c) * wy
    return float(2.0 * (low + (high - low) * wz) - 1.0)


@kernel
def _fill_smooth(out_ZYX: npt.NDArray[np.float32], key: np.uint64, low: tuple[int, int, int], pitch: float) -> None:
    for z in range(out_ZYX.shape[0]):
        for y in range(out_ZYX.shape[1]):
            for x in range(out_ZYX.shape[2]):
                out_ZYX[z, y, x] = smooth(key, (x + low[0]) / pitch, (y + low[1]) / pitch, (z + low[2]) / pitch)


@kernel
def _fill_white(out_ZYX: npt.NDArray[np.uint32], key: np.uint64, low: tuple[int, int, int]) -> None:
    for z in range(out_ZYX.shape[0]):
        for y in range(out_ZYX.shape[1]):
            for x in range(out_ZYX.shape[2]):
                out_ZYX[z, y, x] = np.uint32(hashed(key, x + low[0], y + low[1], z + low[2]) >> _S32)


def smooth_noise(box: BBox, seed: int, stream: int, pitch_vx: float) -> npt.NDArray[np.float32]:
    """Smooth noise of a box, float32 [z, y, x] in [-1, 1], on a lattice of `pitch_vx` anchored at absolute 0.

    Raises:
        ConfigError: a negative seed or stream, or a pitch that is not positive.
    """
    if not pitch_vx > 0:
        raise ConfigError(f"pitch {pitch_vx} of the noise: give voxels > 0")
    out = np.empty(box.shape_ZYX, np.float32)
    _fill_smooth(out, _key(seed, stream), box.min, float(pitch_vx))
    return out


def white_noise(box: BBox, seed: int, stream: int) -> npt.NDArray[np.uint32]:
    """Independent uniform bits of a box, uint32 [z, y, x].

    Raises:
        ConfigError: a negative seed or stream.
    """
    out = np.empty(box.shape_ZYX, np.uint32)
    _fill_white(out, _key(seed, stream), box.min)
    return out


def _key(seed: int, stream: int) -> np.uint64:
    if not (0 <= seed < 1 << 63 and 0 <= stream < 1 << 63):
        raise ConfigError(f"seed {seed} and stream {stream}: give integers in [0, 2^63)")
    return np.uint64(keyed(seed, stream))
