"""The contracting graph against a dict of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from oracles.waiting import join

from emseg.tasks.arrays.graph import DEGREE, MOST, contract, graph_of
from emseg.tasks.arrays.ledger import ENDS, GONE, MEAN, TIE, den_of, high_end, low_end, num_of

CLUSTERS = 12


def _together(a: Any, b: Any) -> Any:
    return (a[0] + b[0], a[1] + b[1], max(a[2], b[2]))


@pytest.mark.parametrize("seed", range(20))
def test_contractions_keep_every_row(seed: int) -> None:
    """After any contractions the rows, ends, sums, counts and tie keys are those of a dict that was renamed."""
    rng = np.random.default_rng(seed)
    u, v = rng.integers(0, CLUSTERS, (2, 40))
    columns = [rng.integers(1, 100, 40).astype(np.uint64) for _ in range(3)]
    g = graph_of(CLUSTERS, u, v, *columns, MEAN)
    rows: dict[Any, Any] = {}
    for a, b, *row in zip(u.tolist(), v.tolist(), *(c.tolist() for c in columns), strict=True):
        if a != b:
            pair = (min(a, b), max(a, b))
            rows[pair] = _together(rows[pair], row) if pair in rows else tuple(row)
    for _ in range(8):
        a, b = next(iter(rows), (0, 0))
        if a == b:
            break
        keep = int(contract(g, None, a, b, MEAN))
        assert keep in (a, b)
        rows = join(rows, keep, a + b - keep, _together)
        alive = [r for r in range(len(g.rows)) if g.rows[r, ENDS] != GONE]
        assert len(alive) == len(rows)
        for r in alive:
            pair = int(low_end(g.rows[r, ENDS])), int(high_end(g.rows[r, ENDS]))
            assert rows[pair] == (num_of(g.rows, r), den_of(g.rows, r), g.rows[r, TIE])
        degree = [sum(c in pair for pair in rows) for c in range(CLUSTERS)]
        left = [c for pair in rows for c in pair]
        assert [g.clusters[c, DEGREE] for c in left] == [degree[c] for c in left]
    assert g.tally[MOST] >= max((row[1] for row in rows.values()), default=0)
