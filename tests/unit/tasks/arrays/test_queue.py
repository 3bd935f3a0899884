"""The queue hands rows out in exact order."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from emseg.tasks.arrays.queue import Queue, fill, moved, pop, queue_of, remove

SCORE = st.tuples(st.integers(0, 40), st.integers(1, 9))


def _queue(scores: list[tuple[int, int]]) -> Queue:
    num, den = (np.array([s[k] for s in scores], np.uint64) for k in (0, 1))
    q = queue_of(num, den, np.arange(len(scores), dtype=np.uint64)[::-1].copy())
    fill(q, len(scores))
    return q


def _order(q: Queue, rows: list[int]) -> list[int]:
    return sorted(rows, key=lambda r: (-Fraction(int(q.num[r]), int(q.den[r])), int(q.tie[r])))


@given(st.lists(SCORE, min_size=1, max_size=40), st.data())
def test_rows_come_in_exact_order(scores: list[tuple[int, int]], data: st.DataObject) -> None:
    """Also after removals and changed scores: mean descending as a fraction, then tie ascending."""
    q = _queue(scores)
    rows = list(range(len(scores)))
    for r in data.draw(st.lists(st.sampled_from(rows), max_size=8, unique=True)):
        remove(q, r)
        rows.remove(r)
    for r in data.draw(st.lists(st.sampled_from(range(len(scores))), max_size=8)):
        q.num[r] += np.uint64(7)
        q.quotient[r] = q.num[r] // q.den[r]
        moved(q, r)
    assert [pop(q) for _ in range(int(q.size[0]))] == _order(q, rows)


def test_means_that_a_float_confuses_are_told_apart() -> None:
    """Two means whose float64 values are equal come in their exact order."""
    count = 2**32 - 1
    near = [(65535 * count - count // 2 - 1, count), (65535 * (count - 2) - (count - 2) // 2 - 1, count - 2)]
    exact = [Fraction(*s) for s in near]
    assert exact[0] != exact[1]
    q = _queue(near)
    assert pop(q) == exact.index(max(exact))
