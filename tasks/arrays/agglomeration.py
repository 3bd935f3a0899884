"""The agglomeration A: in the order of their scores, rows merge down to the threshold.

A linkage says what the score of a row is and what becomes of parallel rows: the mean weight of its voxel edges, the
greatest, or a quantile. Each is reducible: a merged row never scores better than its better part.

A starts frozen where S left a cluster waiting or a row undecided. A popped row with a frozen end freezes both and
waits. Only rows with both ends frozen go up: a cluster left clean has only rows below the threshold and, because a
merged row never comes before its better part, is settled.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from emseg.tasks.arrays.columns import I64, U32, U64, Bool
from emseg.tasks.arrays.graph import JOINED, MOST, NAME, SEEN, VOXELS, Graph, contract, graph_of, look_ahead
from emseg.tasks.arrays.kernel import kernel
from emseg.tasks.arrays.ledger import ENDS, GONE, MAX, MEAN, TIE, den_of, high_end, low_end, num_of
from emseg.tasks.arrays.pool import bins_between, pool_of
from emseg.tasks.arrays.queue import EMPTY, HAND, pop, queue_of
from emseg.tasks.arrays.rows import COUNT_LIMIT, Rows
from emseg.tasks.arrays.rules import PERCENT, Linkage
from emseg.tasks.arrays.union import flatten
from emseg.tasks.arrays.weight_bins import WeightBins
from emseg.tasks.arrays.weights import TOP
from emseg.tasks.volume.errors import CorruptChunkError, LimitError

READ_AHEAD = 64  # rows

LINKAGES: dict[Linkage, int] = {"mean": MEAN, "max": MAX, **PERCENT}


@dataclass(frozen=True)
class MeanRows:
    """Rows of A between cluster numbers. mean: sum and count of weights, greatest edge key; max: greatest weight, 1,
    least edge key of that weight; quantile: its bin's weight (0 before A has seen it), 1, greatest edge key, and in
    `bins` the histograms. The score is sum / count, the edge key breaks ties."""

    u: I64
    v: I64
    sum: U64
    count: U32
    edge: U64
    bins: WeightBins | None = field(default=None, kw_only=True)


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
    if linkage in PERCENT:
        return np.zeros(len(rows), np.uint64), np.ones(len(rows), np.uint32), rows.last_edge
    return rows.sum, rows.count, rows.last_edge


def agglomeration(frozen: Bool, voxels: U64, rows: MeanRows, w_mean: int, linkage: Linkage = "mean") -> Agglomerated:
    """Apply A to clusters 0..n-1; parallel rows may stand apart.

    Raises:
        LimitError: a contact of more than 2^32 - 1 voxel edges.
        CorruptChunkError: a row without voxel edges, or whose score is above the greatest weight; histograms absent
            or damaged.
    """
    _require_scores(rows, linkage)
    state, code = frozen.copy(), LINKAGES[linkage]
    g, pool = graph_of(len(state), rows.u, rows.v, rows.sum, rows.count, rows.edge, code), None
    if rows.bins is not None:
        pool, edges = pool_of(g.rows, g.slots, rows.u, rows.v, *rows.bins.columns().values(), code)
        g.tally[MOST] = max(g.tally[MOST], edges)
    del rows  # they stand in the graph now
    left, merged, clusters, most = _merge(g, pool, state, voxels, w_mean, code)
    if most > COUNT_LIMIT:
        raise LimitError(f"a contact has {most} voxel edges, more than {COUNT_LIMIT}: mask the blob that has it")
    place, name, size = clusters
    flatten(place)
    root, at = name[place], place.copy()
    at[root] = place
    called = root == np.arange(len(root))
    bins = None if pool is None else WeightBins(*bins_between(pool, g.rows, state))
    return Agglomerated(root, state[at] & called, MeanRows(*left, bins=bins), Merges(*merged), size[at])


def _require_scores(rows: MeanRows, linkage: Linkage) -> None:
    """Refuse what no voxel edges give; the queue has one list for each quotient that they do."""
    if (rows.sum > np.uint64(TOP) * rows.count).any() or not rows.count.all():
        raise CorruptChunkError(f"contact rows: a mean weight is above {TOP} or of no edges; run the task again")
    if (rows.bins is not None) != (linkage in PERCENT):
        raise CorruptChunkError(f"contact rows: histograms go with a quantile, not with {linkage}; run the task again")
    if rows.bins is not None:
        rows.bins.require(len(rows.u))


@kernel
def _merge(g: Graph, pool: Any, frozen: Any, voxels: Any, w_mean: int, linkage: int) -> Any:
    """Run A; returns rows with both ends frozen, merges, where each cluster went with names and sizes of those that
    stay, and the greatest count met (beyond 32 bits: the rest is void)."""
    n, merges, ahead = len(frozen), 0, np.int64(0)
    merge_name, merge_row = np.empty((2, n), np.int64), np.empty((4, n), np.uint64)
    q, clusters = queue_of(g.rows, w_mean), g.clusters
    for c in range(n):
        clusters[c, NAME], clusters[c, VOXELS], clusters[c, JOINED] = c, voxels[c], c
    while g.tally[MOST] <= COUNT_LIMIT:
        soon = np.int64(q.start[q.at[HAND]]) + READ_AHEAD
        if soon > ahead + READ_AHEAD // 2:
            g.tally[SEEN] += np.uint64(look_ahead(g.rows, g.listed, clusters, q.order[ahead:soon]))
            ahead = soon
        r = pop(q, g.rows, frozen)
        if r == EMPTY:
            break
        a, b = low_end(g.rows[r, ENDS]), high_end(g.rows[r, ENDS])
        if frozen[a] or frozen[b]:
            frozen[a] = frozen[b] = True
            continue
        if clusters[b, NAME] < clusters[a, NAME]:
            a, b = b, a
        merge_name[0, merges], merge_name[1, merges] = clusters[a, NAME], clusters[b, NAME]
        merge_row[0, merges], merge_row[1, merges] = num_of(g.rows, r), den_of(g.rows, r)
        merge_row[2, merges], merge_row[3, merges] = clusters[a, VOXELS], clusters[b, VOXELS]
        merges += 1
        size, called = clusters[a, VOXELS] + clusters[b, VOXELS], clusters[a, NAME]
        keep = contract(g, pool, a, b, linkage)
        clusters[a, JOINED] = clusters[b, JOINED] = keep
        clusters[keep, VOXELS], clusters[keep, NAME] = size, called
    row, names = merge_row[:, :merges], merge_name[:, :merges]
    merged = (names[0], names[1], row[0], row[1].astype(np.uint32), row[2], row[3])
    state = (clusters[:, JOINED].copy(), clusters[:, NAME].copy(), clusters[:, VOXELS].astype(np.uint64))
    return _between(g.rows, frozen, state[1]), merged, state, g.tally[MOST]


@kernel
def _between(rows: Any, frozen: Any, name: Any) -> Any:
    """Columns of the rows whose ends are both frozen, ends by name."""
    n = 0
    for r in range(len(rows)):
        ends = rows[r, ENDS]
        n += ends != GONE and frozen[low_end(ends)] and frozen[high_end(ends)]
    end, score, count = np.empty((2, n), np.int64), np.empty((2, n), np.uint64), np.empty(n, np.uint32)
    n = 0
    for r in range(len(rows)):
        ends = rows[r, ENDS]
        if ends != GONE and frozen[low_end(ends)] and frozen[high_end(ends)]:
            u, v = name[low_end(ends)], name[high_end(ends)]
            end[0, n], end[1, n] = min(u, v), max(u, v)
            score[0, n], count[n], score[1, n] = num_of(rows, r), den_of(rows, r), rows[r, TIE]
            n += 1
    return end[0], end[1], score[0], count, score[1]
