"""The order of keys."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from emseg.tasks.arrays.order import ascending


@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 3)))
def test_keys_come_out_ascending_and_equal_ones_as_they_stood(keys: list[int]) -> None:
    """Keys of any width, many alike, none, one: the order of a stable sort."""
    array = np.array(keys, np.uint64)
    assert ascending(array).tolist() == np.argsort(array, kind="stable").tolist()
