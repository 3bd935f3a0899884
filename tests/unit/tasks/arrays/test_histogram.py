"""Histograms add up over chunks, and levels come from them alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emseg.tasks.arrays.histogram import levels_of, section_histograms


def _raw(seed: int, dtype: str = "uint8") -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, (3, 12, 14)).astype(dtype)


@given(st.integers(0, 10_000), st.integers(1, 11), st.integers(1, 13))
def test_chunks_add_up_to_the_whole(seed: int, y: int, x: int) -> None:
    """The histograms of four tiles sum to those of the section."""
    raw = _raw(seed)
    tiles = [raw[:, a, b] for a in (slice(0, y), slice(y, None)) for b in (slice(0, x), slice(x, None))]
    assert np.array_equal(sum(section_histograms(t) for t in tiles), section_histograms(raw))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@given(seed=st.integers(0, 10_000))
def test_mean_and_deviation_are_those_of_the_voxels(dtype: str, seed: int) -> None:
    """Mean and deviation from counts equal numpy's on the voxels, zeros left out."""
    raw = _raw(seed, dtype)[:1]
    found = levels_of(section_histograms(raw)[0], 0.0, 1.0)
    kept = raw[raw > 0].astype(float)
    assert (found.mean, found.std) == pytest.approx((kept.mean(), kept.std()))
    assert (found.low, found.high) == (kept.min(), kept.max())


def test_levels_leave_the_asked_shares_outside() -> None:
    """Of the values 1 to 100, once each, the 5 % and 95 % levels are 5 and 95."""
    counts = np.zeros(256, np.int64)
    counts[1:101] = 1
    found = levels_of(counts, 0.05, 0.95)
    assert (found.low, found.high) == (5, 95)


def test_counts_beyond_32_bits_do_not_overflow() -> None:
    """Two values of 2^50 voxels each in a 16-bit section have their exact mean and deviation."""
    counts = np.zeros(65536, np.int64)
    counts[[1, 65535]] = 1 << 50
    found = levels_of(counts, 0.1, 0.9)
    assert (found.mean, found.std) == (32768.0, 32767.0)
