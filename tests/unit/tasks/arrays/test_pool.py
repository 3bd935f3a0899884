"""The pool of histograms against plain Python while a graph contracts, and why a quantile may link."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles.stitching import quantile
from oracles.waiting import join

from emseg.tasks.arrays.graph import contract, graph_of
from emseg.tasks.arrays.ledger import ENDS, GONE, TIE, den_of, high_end, low_end, num_of
from emseg.tasks.arrays.pool import bins_between, pool_of
from emseg.tasks.arrays.rules import PERCENT
from emseg.tasks.arrays.weight_bins import WeightBins

CLUSTERS, ROWS = 14, 60
WEIGHTS = st.lists(st.integers(0, 65535), min_size=1, max_size=30)


@given(WEIGHTS, WEIGHTS, st.sampled_from(sorted(PERCENT.values())))
def test_contacts_together_score_no_better_than_the_better(a: list[int], b: list[int], percent: int) -> None:
    """Quantiles are reducible: in each part so many edges lie at or below its score, so in both they do below the
    greater one."""
    assert quantile(a + b, percent) <= max(quantile(a, percent), quantile(b, percent))


def _together(a: Any, b: Any) -> Any:
    return a[0] + b[0], max(a[1], b[1])


def _bins_of(weights: list[list[int]]) -> WeightBins:
    counted = [sorted(Counter(w >> 8 for w in row).items()) for row in weights]
    bins, count = np.array([entry for row in counted for entry in row]).T
    return WeightBins(np.array([len(r) for r in counted], np.uint16), bins.astype(np.uint8), count.astype(np.uint32))


@pytest.mark.parametrize("percent", sorted(PERCENT.values()))
@pytest.mark.parametrize("seed", range(8))
def test_contractions_add_histograms(seed: int, percent: int) -> None:
    """After any contractions, also where the pool was cleared, scores, tie keys and histograms are those of a dict."""
    rng = np.random.default_rng(seed)
    u, v = rng.integers(0, CLUSTERS, (2, ROWS))
    spread = rng.choice([3, 40, 256])
    weights = [(rng.integers(0, spread, rng.integers(1, 40)) * (65535 // spread)).tolist() for _ in range(ROWS)]
    tie = rng.permutation(ROWS).astype(np.uint64)
    g = graph_of(CLUSTERS, u, v, np.zeros(ROWS, np.uint64), np.ones(ROWS, np.uint32), tie, percent)
    pool, most = pool_of(g.rows, g.slots, u, v, *_bins_of(weights).columns().values(), percent)
    rows: dict[Any, Any] = {}
    for a, b, *row in zip(u.tolist(), v.tolist(), weights, tie.tolist(), strict=True):
        if a != b:
            pair = (min(a, b), max(a, b))
            rows[pair] = _together(rows[pair], row) if pair in rows else tuple(row)
    assert most == max(len(row[0]) for row in rows.values())
    while rows:
        alive = [r for r in range(len(g.rows)) if g.rows[r, ENDS] != GONE]
        wanted = []
        for r in alive:
            row = rows[int(low_end(g.rows[r, ENDS])), int(high_end(g.rows[r, ENDS]))]
            assert (num_of(g.rows, r), den_of(g.rows, r), g.rows[r, TIE]) == (quantile(row[0], percent), 1, row[1])
            wanted.append(row[0])
        assert len(alive) == len(rows)
        found = WeightBins(*bins_between(pool, g.rows, np.ones(CLUSTERS, bool)))
        for name, array in _bins_of(wanted).columns().items():
            assert getattr(found, name).tolist() == array.tolist()
        a, b = list(rows)[rng.integers(len(rows))]
        keep = int(contract(g, pool, a, b, percent))
        rows = join(rows, keep, a + b - keep, _together)
