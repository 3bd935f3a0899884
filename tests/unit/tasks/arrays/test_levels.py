"""Grey levels: a linear stretch of each section between its own levels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emseg.tasks.arrays.levels import stretched

RAW_ZYX = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)


@pytest.mark.parametrize("level", [0, 100, 255])
def test_a_section_whose_levels_are_equal_becomes_zero(level: int) -> None:
    """Without contrast there is nothing to stretch: no grey value becomes white; the section beside it is stretched."""
    raw_ZYX = np.concatenate([RAW_ZYX, RAW_ZYX])
    out_ZYX = stretched(raw_ZYX, np.array([level, 0]), np.array([level, 255]))
    assert not out_ZYX[0].any()
    assert np.array_equal(out_ZYX[1], RAW_ZYX[0])


@given(st.integers(0, 65535), st.integers(0, 65535), st.lists(st.integers(0, 65535), min_size=1, max_size=9))
def test_values_are_stretched_and_clipped(a: int, b: int, values: list[int]) -> None:
    """Low becomes 0, high 255, what is between is linear, what lies beyond is clipped."""
    low, high = sorted((a, b))
    raw_ZYX = np.array(values, np.uint16)[None, None]
    out_ZYX = stretched(raw_ZYX, np.array([low]), np.array([high]))
    exact = [min(max((v - low) * 255 / (high - low), 0), 255) if high > low else 0 for v in values]
    assert out_ZYX.dtype == np.float32
    np.testing.assert_allclose(out_ZYX[0, 0], exact, rtol=1e-5, atol=1e-3)
