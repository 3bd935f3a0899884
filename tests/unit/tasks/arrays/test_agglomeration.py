"""The mean agglomeration's kernel against plain Python, with frozen clusters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from oracles.waiting import agglomerate

from emseg.tasks.arrays.agglomeration import Agglomerated, MeanRows, agglomeration
from emseg.tasks.arrays.weight_bins import WeightBins
from emseg.tasks.volume.errors import CorruptChunkError, LimitError

CLUSTERS = 30


def _case(seed: int) -> dict[Any, Any]:
    rng = np.random.default_rng(seed)
    pairs = sorted({tuple(sorted(map(int, rng.choice(CLUSTERS, 2, replace=False)))) for _ in range(90)})
    count = rng.integers(1, 5, len(pairs))
    total = count * rng.integers(1, 4, len(pairs)) * 10 + rng.integers(0, 2, len(pairs))
    edge = rng.permutation(len(pairs))
    return {p: (int(s), int(c), int(e)) for p, s, c, e in zip(pairs, total, count, edge, strict=True)}


def _run(rows: dict[Any, Any], frozen: set[int], w_mean: int) -> Agglomerated:
    table = MeanRows(
        np.array([p[0] for p in rows], np.int64),
        np.array([p[1] for p in rows], np.int64),
        np.array([r[0] for r in rows.values()], np.uint64),
        np.array([r[1] for r in rows.values()], np.uint32),
        np.array([r[2] for r in rows.values()], np.uint64),
    )
    cold = np.array([c in frozen for c in range(CLUSTERS)])
    return agglomeration(cold, np.arange(1, CLUSTERS + 1).astype(np.uint64), table, w_mean)


@pytest.mark.parametrize("seed", range(60))
def test_the_kernel_does_what_plain_python_does(seed: int) -> None:
    """Names, frozen clusters, rows that go up and sizes are the same."""
    rows, rng = _case(seed), np.random.default_rng(seed)
    frozen = {c for c in range(CLUSTERS) if rng.random() < 0.15 * (seed % 3)}
    name, cold, kept = agglomerate(dict(rows), frozen, list(range(CLUSTERS)), 15)
    got = _run(rows, frozen, 15)
    assert got.root.tolist() == [name[c] for c in range(CLUSTERS)]
    assert set(np.flatnonzero(got.frozen)) == cold
    up = zip(got.rows.u, got.rows.v, got.rows.sum, got.rows.count, got.rows.edge, strict=True)
    assert {(int(a), int(b)): (int(s), int(c), int(e)) for a, b, s, c, e in up} == kept
    for c in set(name.values()):
        assert got.voxels[c] == sum(i + 1 for i in range(CLUSTERS) if name[i] == c)


def test_merges_are_told_in_order_with_sizes() -> None:
    """The list of merges rebuilds the result, in falling order of the mean, and tells both sizes at that time."""
    got = _run(_case(3), set(), 15)
    name, size = list(range(CLUSTERS)), list(range(1, CLUSTERS + 1))
    m = got.merges
    means = m.sum / m.count
    assert len(means) > 5
    assert (means[:-1] >= means[1:]).all()
    for u, v, a, b in zip(m.u, m.v, m.voxels_u, m.voxels_v, strict=True):
        assert (size[u], size[v]) == (a, b)
        size[u] += size[v]
        name = [int(u) if n == v else n for n in name]
    assert name == got.root.tolist()


def test_a_contact_that_cannot_be_counted_is_an_error() -> None:
    """Parallel rows whose counts add up beyond 32 bits stop the node."""
    most = 2**32 - 1
    rows = MeanRows(
        np.zeros(2, np.int64),
        np.ones(2, np.int64),
        np.zeros(2, np.uint64),
        np.array([most, 1], np.uint32),
        np.arange(2, dtype=np.uint64),
    )
    with pytest.raises(LimitError, match="4294967296 voxel edges"):
        agglomeration(np.zeros(2, bool), np.ones(2, np.uint64), rows, 1)


@pytest.mark.parametrize("score", [(0, 0), (65536, 1)])
def test_a_score_that_no_edges_give_is_refused(score: tuple[int, int]) -> None:
    """No voxel edges, or a mean above the greatest weight: the row is damaged."""
    with pytest.raises(CorruptChunkError, match="mean weight"):
        _run({(0, 1): (*score, 1)}, set(), 1)


def test_a_quantile_needs_histograms_and_others_refuse_them() -> None:
    """Rows of another linkage, or of a run before, are damaged rows."""
    columns = [np.array([n], t) for n, t in ((0, np.int64), (1, np.int64), (5, np.uint64), (1, np.uint32))]
    bins = WeightBins(np.ones(1, np.uint16), np.array([9], np.uint8), np.ones(1, np.uint32))
    for given, linkage in ((None, "quantile50"), (bins, "mean"), (WeightBins.empty(), "quantile50")):
        rows = MeanRows(*columns, np.ones(1, np.uint64), bins=given)
        with pytest.raises(CorruptChunkError, match="run the task again"):
            agglomeration(np.zeros(2, bool), np.ones(2, np.uint64), rows, 1, linkage)


def test_histograms_that_cannot_be_counted_are_an_error() -> None:
    """Parallel contacts of more than 2^32 - 1 edges together stop the node."""
    ends = np.zeros(2, np.int64), np.ones(2, np.int64)
    count = np.array([2**32 - 1, 1], np.uint32)
    bins = WeightBins(np.ones(2, np.uint16), np.array([3, 4], np.uint8), count)
    rows = MeanRows(*ends, np.zeros(2, np.uint64), np.ones(2, np.uint32), np.arange(2, dtype=np.uint64), bins=bins)
    with pytest.raises(LimitError, match="4294967296 voxel edges"):
        agglomeration(np.zeros(2, bool), np.ones(2, np.uint64), rows, 1, "quantile85")


def test_nothing_merges_in_an_empty_graph() -> None:
    """No clusters, or no rows, is no error."""
    none = MeanRows(*(np.zeros(0, t) for t in (np.int64, np.int64, np.uint64, np.uint32, np.uint64)))
    for n in (0, 3):
        got = agglomeration(np.zeros(n, bool), np.ones(n, np.uint64), none, 1)
        assert got.root.tolist() == list(range(n))
