"""The agglomeration A: in the order of their scores, rows merge down to the threshold.

A linkage says what the score of a row is and what becomes of parallel rows: the mean weight of its voxel edges, or the
greatest. Either is reducible: a merged row never scores better than its better part.

A starts frozen where S left a cluster waiting or a row undecided. A popped row with a frozen end freezes both and
waits. Only rows with both ends frozen go up: a cluster left clean has only rows below the threshold and, because a
merged row never comes before its better part, is settled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from emseg.tasks.arrays.columns import I64, U32, U64, Bool
from emseg.tasks.arrays.graph import MAX, MEAN, contract, graph_of
from emseg.tasks.arrays.kernel import kernel
from emseg.tasks.arrays.queue import pop
from emseg.tasks.arrays.rows import COUNT_LIMIT, Rows
from emseg.tasks.arrays.rules import Linkage
from emseg.tasks.arrays.union import flatten
from emseg.tasks.volume.errors import LimitError

LINKAGES: dict[Linkage, int] = {"mean": MEAN, "max": MAX}


@dataclass(frozen=True)
class MeanRows:
    """Rows of A between cluster numbers. mean: sum and count of weights, greatest edge key; max: greatest weight, 1,
    least edge key of that weight. The score is sum / count, the edge key breaks ties."""

    u: I64
    v: I64
    sum: U64
    count: U32
    edge: U64


@dataclass(frozen=True)
class Merges:
    """What A merged, in order: cluster numbers at that time, their row's sum and count, voxels of both."""

    u: I64
    v: I64
    sum: U64
    count: U32
    voxels_u: U64
    voxels_v: U64


@dataclass(frozen=True)
class Agglomerated:
    """What A did to n clusters: a cluster is called by its least member.

    root: int64[n], least member. frozen: bool[n], at roots. rows: those with both ends frozen, between roots.
    voxels: uint64[n], at roots.
    """

    root: I64
    frozen: Bool
    rows: MeanRows
    merges: Merges
    voxels: U64


def scored(rows: Rows, linkage: Linkage) -> tuple[U64, U32, U64]:
    """Columns sum, count and edge of contact rows, as a linkage has them."""
    if linkage == "max":
        return rows.max.astype(np.uint64), np.ones(len(rows), np.uint32), rows.best_edge
    return rows.sum, rows.count, rows.last_edge


def agglomeration(frozen: Bool, voxels: U64, rows: MeanRows, w_mean: int, linkage: Linkage = "mean") -> Agglomerated:
    """Apply A to clusters 0..n-1; parallel rows may stand apart.

    Raises:
        LimitError: a contact of more than 2^32 - 1 voxel edges.
    """
    n = len(frozen)
    state, size = frozen.copy(), voxels.copy()
    root, name = np.arange(n, dtype=np.int64), np.arange(n, dtype=np.int64)
    tables = (state, size, root, name)
    columns = (rows.u, rows.v, rows.sum, rows.count.astype(np.uint64), rows.edge)
    left, merged, top = _merge(*columns, tables, w_mean, LINKAGES[linkage])
    if top > COUNT_LIMIT:
        raise LimitError(f"a contact has {top} voxel edges, more than {COUNT_LIMIT}: mask the blob that has it")
    flatten(root)
    place = root.copy()
    place[name[root]] = root
    u, v, total, count, edge = left
    u, v = name[u], name[v]
    up = MeanRows(np.minimum(u, v), np.maximum(u, v), total, count.astype(np.uint32), edge)
    called = name[root] == np.arange(n)
    merges = Merges(merged[0], merged[1], merged[2], merged[3].astype(np.uint32), merged[4], merged[5])
    return Agglomerated(name[root], state[place] & called, up, merges, size[place])


@kernel
def _merge(u: Any, v: Any, total: Any, count: Any, edge: Any, tables: Any, w_mean: int, linkage: int) -> Any:
    """Run A; returns rows with both ends frozen (between places), merges, and the greatest count met."""
    frozen, voxels, parent, name = tables
    n = len(frozen)
    merge_name, merge_row = np.empty((2, n), np.int64), np.empty((4, n), np.uint64)
    g, q = graph_of(n, u, v, total, count, edge, linkage)
    threshold, merges, top = np.uint64(w_mean), 0, np.uint64(0)
    while q.size[0] > 0:
        r = pop(q)
        if q.num[r] < threshold * q.den[r]:
            break
        a, b = g.end[2 * r], g.end[2 * r + 1]
        if frozen[a] or frozen[b]:
            frozen[a] = frozen[b] = True
            continue
        if name[b] < name[a]:
            a, b = b, a
        merge_name[0, merges], merge_name[1, merges] = name[a], name[b]
        merge_row[0, merges], merge_row[1, merges] = q.num[r], q.den[r]
        merge_row[2, merges], merge_row[3, merges] = voxels[a], voxels[b]
        merges += 1
        size, called = voxels[a] + voxels[b], name[a]
        keep = contract(g, q, a, b, linkage)
        parent[a] = parent[b] = keep
        voxels[keep], name[keep] = size, called
    for r in range(len(q.den)):
        top = max(top, q.den[r])
    both = np.array(
        [g.end[2 * r] >= 0 and frozen[g.end[2 * r]] and frozen[g.end[2 * r + 1]] for r in range(len(q.den))]
    )
    kept = np.flatnonzero(both)
    left = (g.end[2 * kept], g.end[2 * kept + 1], q.num[kept], q.den[kept], q.tie[kept])
    row = merge_row[:, :merges]
    return left, (merge_name[0, :merges], merge_name[1, :merges], row[0], row[1], row[2], row[3]), top
