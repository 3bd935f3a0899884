"""The radix sort orders as a stable sort of tuples does."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from emseg.tasks.arrays.order import order_of

KEY = st.one_of(st.integers(0, 3), st.integers(0, 2**64 - 1), st.integers(2**63 - 2, 2**63 + 2))


@given(st.lists(st.tuples(KEY, KEY), max_size=60))
def test_rows_are_ordered_by_their_keys_and_then_as_given(rows: list[tuple[int, int]]) -> None:
    """First key, then second key, then place; for small, large and neighbouring keys of 64 bits."""
    keys = [np.array([row[i] for row in rows], np.uint64) for i in (0, 1)]
    assert order_of(*keys).tolist() == sorted(range(len(rows)), key=lambda i: (*rows[i], i))


def test_one_key_that_is_the_same_everywhere_changes_nothing() -> None:
    """Rows that do not differ stay where they are."""
    assert order_of(np.full(5, 2**40, np.uint64)).tolist() == list(range(5))
