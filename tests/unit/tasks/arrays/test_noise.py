"""Noise depends on key and place only."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emseg.tasks.arrays.noise import hashed, keyed, normal, smooth, smooth_row, unit

KEY = np.uint64(keyed(5, 2))


def bits_of(seed: int, stream: int, side: int) -> np.ndarray:
    """Hashes of a cube round the origin, uint64 [z, y, x]."""
    key, half = np.uint64(keyed(seed, stream)), side // 2
    places = range(-half, side - half)
    return np.array([[[hashed(key, x, y, z) for x in places] for y in places] for z in places], np.uint64)


@settings(deadline=None)
@given(
    st.integers(-1_000_000, 1_000_000),
    st.integers(1, 60),
    st.sampled_from([0.07, 1 / 3.7, 1.0, 4.0]),
    st.floats(-50, 50),
    st.floats(-50, 50),
)
def test_a_row_is_smooth_at_each_of_its_places(low: int, width: int, step: float, y: float, z: float) -> None:
    """A row of smooth noise equals `smooth` bit for bit, wherever it starts, across the origin too."""
    row_X = np.empty(width)
    smooth_row(KEY, low, step, y, z, row_X)
    assert row_X.tolist() == [smooth(KEY, (low + n) * step, y, z) for n in range(width)]


@pytest.mark.parametrize(("seed", "stream"), [(6, 2), (5, 3)])
def test_seeds_and_streams_are_independent(seed: int, stream: int) -> None:
    """Another seed or another stream gives uncorrelated bits."""
    one, two = bits_of(5, 2, 24).ravel() / 2**64, bits_of(seed, stream, 24).ravel() / 2**64
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.04


def test_hashes_are_uniform_and_neighbours_are_independent() -> None:
    """Every bit is set half the time and no axis shows a correlation at lag one."""
    bits = bits_of(0, 0, 24)
    for bit in range(64):
        assert abs(((bits >> np.uint64(bit)) & np.uint64(1)).mean() - 0.5) < 0.025
    for axis in range(3):
        moved = np.roll(bits, 1, axis)
        assert abs(np.corrcoef(bits.ravel() / 2**64, moved.ravel() / 2**64)[0, 1]) < 0.04


def test_normal_has_mean_zero_and_variance_one() -> None:
    """20,000 draws have the moments of a standard normal."""
    draws = np.array([normal(np.uint64(hashed(KEY, x, 0, 0))) for x in range(20_000)])
    assert draws.mean() == pytest.approx(0.0, abs=0.03)
    assert draws.std() == pytest.approx(1.0, abs=0.03)


def test_smooth_noise_meets_the_lattice_and_is_bounded() -> None:
    """At lattice points smooth noise is their hash; between, it is never steeper than the blend's steepest slope."""
    for x, y, z in [(0, 0, 0), (-3, 5, 9), (7, -1, -8)]:
        assert smooth(KEY, float(x), float(y), float(z)) == 2.0 * unit(np.uint64(hashed(KEY, x, y, z))) - 1.0
    row_X = np.empty(4000)
    smooth_row(KEY, -2000, 1 / 16, 0.3, 0.8, row_X)
    assert np.abs(row_X).max() <= 1.0
    assert row_X.std() > 0.1
    assert np.abs(np.diff(row_X)).max() <= 1.5 * 2.0 / 16.0


def test_a_key_means_the_same_as_integer_and_as_uint64() -> None:
    """Hashes called from Python use all 64 bits, whichever integer type carries the key."""
    bits = [int(hashed(int(KEY), x, 0, 0)) for x in range(64)]
    assert bits == [int(hashed(KEY, x, 0, 0)) for x in range(64)]
    assert max(bits) >= 1 << 63
