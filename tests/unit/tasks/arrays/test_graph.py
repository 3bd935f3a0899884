"""The contracting graph against a dict of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from oracles.waiting import join

from emseg.tasks.arrays.graph import MEAN, contract, graph_of

CLUSTERS = 12


def _together(a: Any, b: Any) -> Any:
    return (a[0] + b[0], a[1] + b[1], max(a[2], b[2]))


@pytest.mark.parametrize("seed", range(20))
def test_contractions_keep_every_row(seed: int) -> None:
    """After any contractions the rows, ends, sums, counts and tie keys are those of a dict that was renamed."""
    rng = np.random.default_rng(seed)
    u, v = rng.integers(0, CLUSTERS, (2, 40))
    columns = [rng.integers(1, 100, 40).astype(np.uint64) for _ in range(3)]
    g, q = graph_of(CLUSTERS, u, v, *columns, MEAN)
    rows: dict[Any, Any] = {}
    for a, b, *row in zip(u.tolist(), v.tolist(), *(c.tolist() for c in columns), strict=True):
        if a != b:
            pair = (min(a, b), max(a, b))
            rows[pair] = _together(rows[pair], row) if pair in rows else tuple(row)
    for _ in range(8):
        a, b = next(iter(rows), (0, 0))
        if a == b:
            break
        keep = int(contract(g, q, a, b, MEAN))
        assert keep in (a, b)
        rows = join(rows, keep, a + b - keep, _together)
        alive = np.flatnonzero(g.end[::2] >= 0)
        assert len(alive) == len(rows)
        for r in alive:
            pair = tuple(sorted((int(g.end[2 * r]), int(g.end[2 * r + 1]))))
            assert rows[pair] == (q.num[r], q.den[r], q.tie[r])
        degree = [sum(c in pair for pair in rows) for c in range(CLUSTERS)]
        assert g.degree.tolist() == degree
        assert set(q.heap[: int(q.size[0])]) == set(alive)
