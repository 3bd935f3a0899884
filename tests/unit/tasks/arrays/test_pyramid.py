"""Downsampling: the mean and the majority of the voxels that are there."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emseg.tasks.arrays.pyramid import downsampled

FACTORS = list(itertools.product((1, 2), repeat=3))
cases = st.tuples(st.tuples(*[st.integers(1, 4)] * 3), st.sampled_from(FACTORS), st.integers(0, 2**31))


def cells(array_ZYX: np.ndarray, factor, before, after):
    """(index, present voxels) of every coarse cell."""
    shape = [
        (n + b + a) // f for n, f, b, a in zip(array_ZYX.shape, factor[::-1], before[::-1], after[::-1], strict=True)
    ]
    for index in np.ndindex(*shape):
        spans = [
            slice(max(i * f - b, 0), (i + 1) * f - b) for i, f, b in zip(index, factor[::-1], before[::-1], strict=True)
        ]
        yield index, array_ZYX[tuple(spans)].ravel()


def cut(shape, factor, rng) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Missing voxels before and after, x, y, z, at most factor − 1 each."""
    before = tuple(int(rng.integers(0, f)) for f in factor)
    after = tuple(-(n + b) % f for n, b, f in zip(shape[::-1], before, factor, strict=True))
    return before, after


@given(cases)
def test_labels_take_the_majority_of_present_voxels(case):
    """A coarse label is one of the most frequent among the voxels of its cell that exist."""
    shape, factor, seed = case
    rng = np.random.default_rng(seed)
    labels_ZYX = rng.integers(0, 3, shape).astype(np.uint64) * np.uint64(2**63 + 1)
    before, after = cut(shape, factor, rng)
    out_CZYX = downsampled(labels_ZYX[None], factor, before, after, "majority")
    assert out_CZYX.dtype == np.uint64
    for index, present in cells(labels_ZYX, factor, before, after):
        counts = Counter(present.tolist())
        assert counts[int(out_CZYX[0][index])] == max(counts.values())


@given(cases)
def test_grey_is_the_mean_of_present_voxels(case):
    """A coarse grey value is the mean of the voxels of its cell that exist, to one level."""
    shape, factor, seed = case
    rng = np.random.default_rng(seed)
    grey_ZYX = rng.integers(0, 255, shape).astype(np.uint8)
    before, after = cut(shape, factor, rng)
    out_CZYX = downsampled(grey_ZYX[None], factor, before, after, "mean")
    assert out_CZYX.dtype == np.uint8
    for index, present in cells(grey_ZYX, factor, before, after):
        assert abs(float(out_CZYX[0][index]) - present.mean()) <= 1


@pytest.mark.parametrize("mode", ["mean", "majority"])
@pytest.mark.parametrize("factor", FACTORS)
def test_channels_are_reduced_alone(mode, factor):
    """Each channel of three is what it would be by itself."""
    array_CZYX = np.random.default_rng(0).integers(0, 9, (3, 12, 12, 24)).astype(np.uint8)
    whole = downsampled(array_CZYX, factor, (0, 0, 0), (0, 0, 0), mode)
    assert whole.shape == (3, 12 // factor[2], 12 // factor[1], 24 // factor[0])
    for c in range(3):
        assert np.array_equal(whole[c], downsampled(array_CZYX[c : c + 1], factor, (0, 0, 0), (0, 0, 0), mode)[0])
