"""The hash of pairs finds every pair of clusters that still are, however much it says of those that are not."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from emseg.tasks.arrays.ledger import ENDS, GONE, WORDS, ends_of
from emseg.tasks.arrays.pair_table import enter, make_room, pair_slots, row_at, slot_of

CLUSTERS, ROWS = 9, 24
PAIR = st.tuples(st.integers(0, CLUSTERS - 1), st.integers(0, CLUSTERS - 1)).filter(lambda p: p[0] != p[1])


def _entered(slots: np.ndarray, rows: np.ndarray, u: int, v: int, r: int) -> int:
    rows[r, ENDS] = ends_of(u, v)
    slot = slot_of(slots, rows, rows[r, ENDS])
    fresh = int(slots[slot] == 0)
    enter(slots, slot, rows[r, ENDS], r)
    return fresh


def _found(slots: np.ndarray, rows: np.ndarray, u: int, v: int) -> int:
    return int(row_at(slots, slot_of(slots, rows, np.uint64(ends_of(u, v)))))


@given(st.lists(PAIR, min_size=1, max_size=ROWS, unique_by=lambda p: frozenset(p)), st.lists(PAIR, max_size=8))
def test_stale_entries_harm_nobody(pairs: list[tuple[int, int]], taken: list[tuple[int, int]]) -> None:
    """After any clusters were taken into others, every pair that is left is found, in either order, and no other."""
    slots, rows = pair_slots(ROWS), np.full((len(pairs), WORDS), GONE, np.uint64)
    used = sum(_entered(slots, rows, u, v, r) for r, (u, v) in enumerate(pairs))
    known = {frozenset(p): r for r, p in enumerate(pairs)}
    alive = set(range(CLUSTERS))
    for keep, gone in taken:
        if not {keep, gone} <= alive:
            continue
        alive.remove(gone)
        mine = {pair: r for pair, r in known.items() if gone in pair}
        used = int(make_room(slots, rows, np.uint64(used), np.uint64(len(mine))))
        for pair, r in mine.items():
            del known[pair]
            rows[r, ENDS] = GONE
            (other,) = pair - {gone}
            if other != keep and frozenset((keep, other)) not in known:
                used += _entered(slots, rows, keep, other, r)
                known[frozenset((keep, other))] = r
    for u in alive:
        for v in alive - {u}:
            assert _found(slots, rows, u, v) == known.get(frozenset((u, v)), -1)
    assert used == np.count_nonzero(slots)


def test_a_full_table_is_built_anew_from_the_rows_that_are_left() -> None:
    """Where seven eighths would be in use, slots of rows that are gone become free."""
    slots, rows = pair_slots(8), np.full((8, WORDS), GONE, np.uint64)
    used = sum(_entered(slots, rows, r, r + 1, r) for r in range(8))
    used += sum(_entered(slots, rows, 20 + r, 30, r) for r in range(4))
    rows[:2, ENDS] = GONE
    assert make_room(slots, rows, np.uint64(used), np.uint64(2)) == used == 12
    assert make_room(slots, rows, np.uint64(used), np.uint64(3)) == 6
    assert np.count_nonzero(slots) == 6
    assert _found(slots, rows, 30, 23) == 3


def test_a_table_holds_half_as_many_pairs_again_and_has_a_slot_left() -> None:
    """A power of two, and one and a half times the rows at least; two rows never want a third pair."""
    for rows in (0, 1, 8, 9, 11, 1000):
        size = len(pair_slots(rows))
        assert 2 * size >= 3 * rows
        assert size & (size - 1) == 0
