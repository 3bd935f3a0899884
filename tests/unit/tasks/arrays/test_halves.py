"""Half rows: parallel ones taken together and the best of each vertex, against plain Python."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emseg.tasks.arrays.halves import best_max, best_mean, one_a_pair_max, one_a_pair_mean
from emseg.tasks.arrays.mail import MaxHalves, MeanHalves
from emseg.tasks.arrays.rows import COUNT_LIMIT
from emseg.tasks.volume.errors import LimitError

ROWS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 9), st.integers(1, 6), st.integers(0, 99)),
    max_size=40,
    unique_by=lambda row: row[4],
)


def _means(rows: list[tuple[int, ...]]) -> MeanHalves:
    at, other, total, count, edge = np.array(rows, np.uint64).reshape(-1, 5).T.copy()
    return MeanHalves(at, other, total, count.astype(np.uint32), edge)


@given(ROWS, st.integers(0, 3))
def test_the_best_mean_of_a_vertex(rows: list[tuple[int, ...]], w_mean: int) -> None:
    """By exact mean, then edge key, among those that pass; parallel rows add up and keep the greater key."""
    pairs: dict[tuple[int, int], list[int]] = {}
    for at, other, total, count, edge in rows:
        if at != other:
            row = pairs.setdefault((at, other), [0, 0, 0])
            row[:] = [row[0] + total, row[1] + count, max(row[2], edge)]
    halves = one_a_pair_mean(_means(rows), "mean")
    ours = dict(zip(zip(halves.at.tolist(), halves.other.tolist(), strict=True), halves.edge.tolist(), strict=True))
    assert ours == {pair: row[2] for pair, row in pairs.items()}
    assert list(ours) == sorted(ours)
    best: dict[int, tuple[Fraction, int]] = {}
    for (at, _), (total, count, edge) in pairs.items():
        if total >= w_mean * count:
            key = (-Fraction(total, count), edge)
            best[at] = min(best.get(at, key), key)
    chosen = best_mean(halves, w_mean)
    assert dict(zip(halves.at[chosen].tolist(), halves.edge[chosen].tolist(), strict=True)) == {
        at: edge for at, (_, edge) in best.items()
    }


@given(ROWS)
def test_the_best_of_maximum_rows(rows: list[tuple[int, ...]]) -> None:
    """By weight, then edge key, in S and in A with max linkage."""
    best: dict[int, tuple[int, int]] = {}
    for at, other, top, _, edge in rows:
        if at != other:
            best[at] = min(best.get(at, (-top, edge)), (-top, edge))
    at, other, top, _, edge = np.array(rows, np.uint64).reshape(-1, 5).T.copy()
    s = one_a_pair_max(MaxHalves(at, other, top.astype(np.uint16), edge))
    ones = np.ones(len(at), np.uint32)
    a = one_a_pair_mean(MeanHalves(at, other, top, ones, edge), "max")
    for halves, chosen in ((s, best_max(s)), (a, best_mean(a, 0))):
        got = dict(zip(halves.at[chosen].tolist(), halves.edge[chosen].tolist(), strict=True))
        assert got == {v: key for v, (_, key) in best.items()}


def test_a_contact_too_large_to_count_is_refused() -> None:
    """Counts that add up beyond 32 bits stop the round."""
    with pytest.raises(LimitError, match="mask the blob"):
        one_a_pair_mean(_means([(0, 1, 5, COUNT_LIMIT, 1), (0, 1, 5, 1, 2)]), "mean")
