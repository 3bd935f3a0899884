"""Noise depends on seed, stream and place only."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emseg.tasks.arrays.noise import hashed, keyed, normal, smooth_noise, white_noise
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import ConfigError

BOX = BBox.of((-9, 1_000_000, -3), (14, 1_000_017, 16))
_corner = st.tuples(st.integers(-9, 13), st.integers(1_000_000, 1_000_016), st.integers(-3, 15))


@settings(deadline=None)
@given(_corner, st.tuples(st.integers(1, 23), st.integers(1, 17), st.integers(1, 19)))
def test_cuts_do_not_show(low: tuple[int, int, int], size: tuple[int, int, int]) -> None:
    """Both noises of any part of a box are that part of the whole, byte for byte, across the origin too."""
    part = BBox.sized(low, size).clipped(BOX)
    at = part.slices_ZYX(BOX.min)
    assert smooth_noise(part, 5, 2, 3.7).tobytes() == smooth_noise(BOX, 5, 2, 3.7)[at].tobytes()
    assert white_noise(part, 5, 2).tobytes() == white_noise(BOX, 5, 2)[at].tobytes()


@pytest.mark.parametrize(("seed", "stream"), [(6, 2), (5, 3)])
def test_seeds_and_streams_are_independent(seed: int, stream: int) -> None:
    """Another seed or another stream gives uncorrelated bits."""
    one, two = (
        white_noise(BBox.sized((0, 0, 0), (32, 32, 32)), s, t).ravel() / 2**32 for s, t in ((5, 2), (seed, stream))
    )
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.03


def test_white_noise_is_uniform_and_neighbours_are_independent() -> None:
    """Every bit is set half the time and no axis shows a correlation at lag one."""
    bits = white_noise(BBox.sized((-16, -16, -16), (32, 32, 32)), 0, 0)
    for bit in range(32):
        assert abs(((bits >> np.uint32(bit)) & 1).mean() - 0.5) < 0.02
    for axis in range(3):
        moved = np.roll(bits, 1, axis)
        assert abs(np.corrcoef(bits.ravel() / 2**32, moved.ravel() / 2**32)[0, 1]) < 0.03


def test_normal_has_mean_zero_and_variance_one() -> None:
    """20,000 draws have the moments of a standard normal."""
    key = keyed(1, 1)
    draws = np.array([normal(np.uint64(hashed(np.uint64(key), x, 0, 0))) for x in range(20_000)])
    assert draws.mean() == pytest.approx(0.0, abs=0.03)
    assert draws.std() == pytest.approx(1.0, abs=0.03)


def test_smooth_noise_is_smooth_and_bounded() -> None:
    """On a lattice of 16 voxels neighbours differ by the blend's steepest slope at most, within [-1, 1]."""
    noise = smooth_noise(BBox.sized((0, 0, 0), (48, 48, 48)), 0, 0, 16.0)
    assert np.abs(noise).max() <= 1.0
    assert noise.std() > 0.1
    for axis in range(3):
        assert np.abs(np.diff(noise, axis=axis)).max() <= 1.5 * 2.0 / 16.0


def test_refuses_impossible_lattices_and_seeds() -> None:
    """A pitch of 0 and a negative seed are refused."""
    with pytest.raises(ConfigError, match="pitch"):
        smooth_noise(BOX, 0, 0, 0.0)
    with pytest.raises(ConfigError, match="seed"):
        white_noise(BOX, -1, 0)


def test_a_key_means_the_same_as_integer_and_as_uint64() -> None:
    """Hashes called from Python use all 64 bits, whichever integer type carries the key."""
    key = int(keyed(1, 1))
    bits = [int(hashed(key, x, 0, 0)) for x in range(64)]
    assert bits == [int(hashed(np.uint64(key), x, 0, 0)) for x in range(64)]
    assert max(bits) >= 1 << 63
