"""The hash of pairs finds, keeps and forgets as a dict does."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from emseg.tasks.arrays.pairs import capacity, erase, spot

STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, 6), st.integers(0, 6)), max_size=60)


@given(STEPS)
def test_pairs_come_and_go(steps: list[tuple[bool, int, int]]) -> None:
    """After any order of insertions and erasures exactly the remaining pairs are found, in either order of ends."""
    table, ends = np.full(capacity(30), -1, np.int32), np.zeros(2 * len(steps), np.int64)
    known: dict[frozenset[int], int] = {}
    for row, (insert, u, v) in enumerate(steps):
        pair = frozenset((u, v))
        if insert and pair not in known:
            ends[2 * row], ends[2 * row + 1] = u, v
            table[spot(table, ends, 2, u, v)] = row
            known[pair] = row
        elif not insert and pair in known:
            erase(table, ends, 2, v, u)
            del known[pair]
    for u in range(7):
        for v in range(7):
            assert table[spot(table, ends, 2, u, v)] == known.get(frozenset((u, v)), -1)


def test_a_table_is_at_most_half_full() -> None:
    """Capacity is a power of two and twice the rows at least."""
    for rows in (0, 1, 8, 9, 1000):
        size = capacity(rows)
        assert size >= 2 * rows
        assert size & (size - 1) == 0
