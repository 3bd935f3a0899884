"""The hash of pairs finds and keeps as a dict does."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from emseg.tasks.arrays.pairs import capacity, spot


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=60))
def test_pairs_are_found_again(pairs: list[tuple[int, int]]) -> None:
    """Every pair that was put in is found in either order of its ends, and no other."""
    table, ends = np.full(capacity(30), -1, np.int32), np.zeros(2 * len(pairs), np.int64)
    known: dict[frozenset[int], int] = {}
    for row, (u, v) in enumerate(pairs):
        if frozenset((u, v)) not in known:
            ends[2 * row], ends[2 * row + 1] = u, v
            table[spot(table, ends, 2, u, v)] = row
            known[frozenset((u, v))] = row
    for u in range(7):
        for v in range(7):
            assert table[spot(table, ends, 2, u, v)] == known.get(frozenset((u, v)), -1)


def test_a_table_is_at_most_half_full() -> None:
    """Capacity is a power of two and twice the rows at least."""
    for rows in (0, 1, 8, 9, 1000):
        size = capacity(rows)
        assert size >= 2 * rows
        assert size & (size - 1) == 0
