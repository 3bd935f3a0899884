"""The size rule's kernel against plain Python, with waiting clusters and parts that joined earlier."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from oracles.waiting import FIRST
from oracles.waiting import size_rule as plain_size_rule

from emseg.tasks.arrays.size_rule import BLOCK, MaxRows, PartColumns, size_rule

SMALL = 10


def _case(seed: int, clusters: int) -> tuple[dict[Any, Any], dict[int, list[Any]], set[int]]:
    """Rows, parts and waiting clusters as a node may meet them: only a cluster that waited has later parts."""
    rng = np.random.default_rng(seed)
    keys = rng.permutation(20 * clusters) + 1
    pairs = {tuple(sorted(map(int, rng.choice(clusters, 2, replace=False)))) for _ in range(5 * clusters // 2)}
    weights = rng.integers(1, 4, len(pairs)) * 100
    rows = {p: (-int(w), int(k)) for p, w, k in zip(sorted(pairs), weights, keys, strict=False)}
    parts: dict[int, list[Any]] = {}
    for c in range(clusters):
        parts[c] = [(FIRST, int(rng.integers(1, 12)))]
        if rng.random() < 0.3:
            parts[c].append(((-int(rng.integers(1, 4)) * 100, int(keys[10 * clusters + c])), int(rng.integers(1, 12))))
    return rows, parts, {c for c in range(clusters) if rng.random() < 0.4}


@pytest.mark.parametrize("clusters", [24, 90])
@pytest.mark.parametrize("seed", range(40))
def test_the_kernel_does_what_plain_python_does(seed: int, clusters: int) -> None:
    """Names, undecided rows, waiting clusters, sizes and what each size is before any key are the same, over more rows
    than are read ahead at once."""
    rows, parts, waiting = _case(seed, clusters)
    assert (len(rows) > 2 * BLOCK) == (clusters > 24)
    name, undecided, waits, listed = plain_size_rule(dict(rows), parts, waiting, SMALL)
    flat = [(c, -at[0], at[1], n) for c, own in parts.items() for at, n in own]
    columns = PartColumns(
        np.array([f[0] for f in flat]),
        np.array([f[1] for f in flat], np.uint16),
        np.array([f[2] for f in flat], np.uint64),
        np.array([f[3] for f in flat], np.uint64),
    )
    u, v = (np.array([p[i] for p in rows], np.int64) for i in (0, 1))
    table = MaxRows(
        u, v, np.array([-k[0] for k in rows.values()], np.uint16), np.array([k[1] for k in rows.values()], np.uint64)
    )
    got = size_rule(np.array([c in waiting for c in range(clusters)]), columns, table, SMALL)
    assert got.root.tolist() == [name[c] for c in range(clusters)]
    assert set(np.flatnonzero(got.waiting)) == waits
    left = got.undecided
    assert {
        (int(a), int(b)): (-int(m), int(e)) for a, b, m, e in zip(left.u, left.v, left.max, left.edge, strict=True)
    } == undecided
    for c, own in listed.items():
        assert got.voxels[c] == sum(n for _, n in own)
    opened = waits | {c for pair in undecided for c in pair}
    assert set(got.parts.cluster) == opened
    for c in opened:
        mine = got.parts.cluster == c
        kept = list(zip(got.parts.max[mine], got.parts.edge[mine], got.parts.voxels[mine], strict=True))
        for key in {at for at, _ in listed[c]} | set(rows.values()):
            before = sum(int(n) for m, e, n in kept if (-int(m), int(e)) < key)
            assert (before >= SMALL) == (sum(n for at, n in listed[c] if at < key) >= SMALL)


def test_parallel_rows_may_stand_apart() -> None:
    """Two rows of one pair give what their better one gives, and one undecided row."""
    parts = PartColumns(
        np.arange(2), np.full(2, 65535, np.uint16), np.zeros(2, np.uint64), np.array([3, 30], np.uint64)
    )
    zeros, ones = np.zeros(2, np.int64), np.ones(2, np.int64)
    rows = MaxRows(zeros, ones, np.array([5, 9], np.uint16), np.array([1, 2], np.uint64))
    waiting = size_rule(np.array([True, False]), parts, rows, SMALL)
    assert (waiting.undecided.max.tolist(), waiting.undecided.edge.tolist()) == ([9], [2])
    clean = size_rule(np.array([False, True]), parts, rows, SMALL)
    assert clean.root.tolist() == [0, 0]
    assert clean.waiting.tolist() == [True, False]
