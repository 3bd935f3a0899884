"""The queue hands rows out in exact order, also when scores fall and rows go while they wait."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from emseg.tasks.arrays.ledger import ENDS, GONE, MAX, MEAN, SCORE, WORDS, better, combine, den_of, num_of, write
from emseg.tasks.arrays.queue import EMPTY, pop, queue_of

TIE = 3
SCORES = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), min_size=1, max_size=40)  # many ties


def _ledger(scores: list[tuple[int, int]]) -> np.ndarray:
    rows = np.empty((len(scores), WORDS), np.uint64)
    for r, (num, den) in enumerate(scores):
        write(rows, r, np.uint64(r), np.uint64(num), np.uint64(den), np.uint64(len(scores) - r))
    return rows


def _key(rows: np.ndarray, r: int) -> tuple[Fraction, int]:
    return -Fraction(int(num_of(rows, r)), int(den_of(rows, r))), int(rows[r, TIE])


def _passing(rows: np.ndarray, least: int) -> set[int]:
    alive = [r for r in range(len(rows)) if rows[r, ENDS] != GONE]
    return {r for r in alive if num_of(rows, r) >= least * den_of(rows, r)}


@given(SCORES, st.integers(0, 12), st.sampled_from([MEAN, MAX]), st.data())
def test_rows_come_in_exact_order(scores: list[tuple[int, int]], least: int, linkage: int, data: st.DataObject) -> None:
    """Score descending as a fraction, then tie key ascending; between two any rows may become one, or go."""
    rows = _ledger([(num, den if linkage == MEAN else 1) for num, den in scores])
    q, waiting, frozen = queue_of(rows, least), _passing(rows, least), np.zeros(len(rows), bool)
    while waiting:
        r = int(pop(q, rows, frozen))
        assert r == min(waiting, key=lambda w: _key(rows, w))
        rows[r, ENDS] = GONE
        left = [w for w in range(len(rows)) if rows[w, ENDS] != GONE]
        if len(left) > 1 and data.draw(st.booleans()):
            a, b = data.draw(st.permutations(left))[:2]
            a, b = (a, b) if better(rows, a, b) else (b, a)
            combine(rows, a, num_of(rows, b), den_of(rows, b), rows[b, TIE], linkage)
            rows[b, ENDS] = GONE
        if data.draw(st.booleans()) and left:
            rows[data.draw(st.sampled_from(left)), ENDS] = GONE
        waiting = _passing(rows, least)
    assert pop(q, rows, frozen) == EMPTY
    assert pop(q, rows, frozen) == EMPTY


def test_means_that_a_float_confuses_are_told_apart() -> None:
    """Two means whose float64 values are equal come in their exact order."""
    count = 2**32 - 1
    near = [(65535 * count - count // 2 - 1, count), (65535 * (count - 2) - (count - 2) // 2 - 1, count - 2)]
    exact = [Fraction(*s) for s in near]
    assert exact[0] != exact[1]
    rows = _ledger(near)
    assert pop(queue_of(rows, 1), rows, np.zeros(2, bool)) == exact.index(max(exact))


def test_a_row_keeps_its_whole_sum_beside_its_bound() -> None:
    """The greatest sum that 2^32 - 1 edges can have stands unchanged beside the greatest bound."""
    most = (65535 * (2**32 - 1), 2**32 - 1)
    rows = _ledger([most])
    q = queue_of(rows, 65535)
    assert (int(num_of(rows, 0)), int(den_of(rows, 0))) == most
    assert int(rows[0, SCORE]) >> 48 == 65535
    assert pop(q, rows, np.zeros(1, bool)) == 0


def test_rows_between_two_frozen_clusters_are_left_out() -> None:
    """Ends are 0 and the row's number: of four rows those come whose second end is not frozen."""
    rows = _ledger([(9, 1), (8, 1), (7, 1), (6, 1)])
    q, frozen = queue_of(rows, 1), np.array([True, False, True, False])
    assert pop(q, rows, frozen) == 1
    assert pop(q, rows, frozen) == 3
    assert pop(q, rows, frozen) == EMPTY
