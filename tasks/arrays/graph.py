"""A region graph that contracts: rows between clusters, found by pair and by end.

The rows of an original cluster stand side by side in a list; a cluster is a chain of such slices. Taking one cluster
into another walks the slices of the one with fewer rows, leaves out rows that are gone, and hangs the rest onto the
other's chain. So a cluster number is only a place in memory; who is called what is the caller's matter.

Nearly all the time goes into waiting for memory. So a walk has three turns: the first two only read, so that no read
waits for another, and the third finds everything in the cache. Kernels that run once a contraction take arrays, not
the tuple of them, which numba would count references to.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from emseg.tasks.arrays.kernel import kernel
from emseg.tasks.arrays.ledger import (
    ENDS,
    GONE,
    LOW_HALF,
    SCORE,
    TIE,
    WORDS,
    better,
    combine,
    den_of,
    ends_of,
    high_end,
    low_end,
    num_of,
    write,
)
from emseg.tasks.arrays.pair_table import enter, first_slot, make_room, pair_slots, row_at, slot_of
from emseg.tasks.arrays.pool import blend

WIDTH = 8  # words of a cluster: its own slice of `listed` and the next in its chain; the last of them, rows not gone;
START, LENGTH, AFTER, LAST, DEGREE, NAME, VOXELS, JOINED = range(WIDTH)  # and three that belong to the caller
USED, MOST, SEEN = range(3)  # of the tally: slots in use, greatest denominator met, a sum of what was read ahead


class Graph(NamedTuple):
    """A ledger and who has which of its rows.

    rows: uint64[rows, 4]. listed: int32[2 rows], row numbers. clusters: int64[clusters, 8], a cache line each. slots:
    uint64, the hash of pairs. tally: uint64[3].
    """

    rows: Any
    listed: Any
    clusters: Any
    slots: Any
    tally: Any


@kernel
def graph_of(n: int, u: Any, v: Any, num: Any, den: Any, tie: Any, linkage: int) -> Graph:
    """Graph over n clusters from rows of cluster numbers; parallel rows combined, self rows left out."""
    rows, slots, tally = np.empty((len(u), WORDS), np.uint64), pair_slots(len(u)), np.zeros(3, np.uint64)
    clusters, used, most = np.zeros((n, WIDTH), np.int64), 0, np.uint64(0)
    for i in range(len(u)):
        if u[i] == v[i]:
            continue
        ends, count = ends_of(u[i], v[i]), np.uint64(den[i])
        slot = slot_of(slots, rows, ends)
        r = row_at(slots, slot)
        if r >= 0:
            most = max(most, combine(rows, r, num[i], count, tie[i], linkage))
            continue
        enter(slots, slot, ends, used)
        write(rows, used, ends, num[i], count, tie[i])
        most = max(most, count)
        clusters[u[i], DEGREE] += 1
        clusters[v[i], DEGREE] += 1
        used += 1
    tally[USED], tally[MOST] = used, most
    return Graph(rows[:used], _listed(rows[:used], clusters), clusters, slots, tally)


@kernel
def _listed(rows: Any, clusters: Any) -> Any:
    """Lay out the slices; returns the rows in them."""
    listed, end = np.empty(2 * len(rows), np.int32), 0
    for c in range(len(clusters)):
        end += clusters[c, DEGREE]
        clusters[c, START], clusters[c, LENGTH], clusters[c, AFTER], clusters[c, LAST] = end, clusters[c, DEGREE], -1, c
    for r in range(len(rows) - 1, -1, -1):
        ends = rows[r, ENDS]
        for c in (low_end(ends), high_end(ends)):
            clusters[c, START] -= 1
            listed[clusters[c, START]] = r
    return listed


@kernel
def contract(g: Graph, pool: Any, u: Any, v: Any, linkage: int) -> Any:
    """Make one cluster of two; returns the number that stays. pool: of a quantile, None for other linkages."""
    keep, gone = (u, v) if g.clusters[u, DEGREE] >= g.clusters[v, DEGREE] else (v, u)
    g.tally[USED] = make_room(g.slots, g.rows, g.tally[USED], np.uint64(g.clusters[gone, DEGREE]))
    _leave_out_gone(g.rows, g.listed, g.clusters, gone)
    g.tally[SEEN] += _look_ahead(g.rows, g.slots, g.listed, g.clusters, keep, gone)
    _move(g.rows, g.slots, g.listed, g.clusters, g.tally, pool, keep, gone, linkage)
    return keep


@kernel
def _leave_out_gone(rows: Any, listed: Any, clusters: Any, cluster: Any) -> None:
    """Take rows that are gone out of a cluster's slices."""
    c = np.int64(cluster)
    while c >= 0:
        start = clusters[c, START]
        put = start
        for i in range(start, start + clusters[c, LENGTH]):
            r = listed[i]
            listed[put] = r
            put += rows[r, ENDS] != GONE
        clusters[c, LENGTH] = put - start
        c = clusters[c, AFTER]


@kernel
def _look_ahead(rows: Any, slots: Any, listed: Any, clusters: Any, keep: Any, gone: Any) -> Any:
    """Read, for the cache's sake, what `_move` will ask for: here no read waits for another. Returns a sum of it."""
    seen, c = np.uint64(0), np.int64(gone)
    while c >= 0:
        start = clusters[c, START]
        for i in range(start, start + clusters[c, LENGTH]):
            ends = rows[listed[i], ENDS]
            entry = slots[first_slot(slots, ends_of(keep, low_end(ends) + high_end(ends) - gone))]
            seen += rows[np.int64(entry & LOW_HALF) - 1, SCORE]
        c = clusters[c, AFTER]
    return seen


@kernel
def _move(
    rows: Any, slots: Any, listed: Any, clusters: Any, tally: Any, pool: Any, keep: Any, gone: Any, linkage: int
) -> None:
    """Give the rows of one cluster to another, and hang its slices, as far as rows are left in them, onto its chain."""
    tail, c = clusters[keep, LAST], np.int64(gone)
    degree, most, new = clusters[keep, DEGREE], np.uint64(0), 0
    while c >= 0:
        behind, start = clusters[c, AFTER], clusters[c, START]
        put = start
        for i in range(start, start + clusters[c, LENGTH]):
            r = np.int64(listed[i])
            ends = rows[r, ENDS]
            other = low_end(ends) + high_end(ends) - gone
            if other == keep:
                rows[r, ENDS] = GONE
                degree -= 1
                continue
            ends = ends_of(keep, other)
            slot = slot_of(slots, rows, ends)
            s = row_at(slots, slot)
            if s < 0:
                new += 1
            else:
                clusters[other, DEGREE] -= 1
                stays = better(rows, r, s)
                a, b = (r, s) if stays else (s, r)
                most = max(most, combine(rows, a, num_of(rows, b), den_of(rows, b), rows[b, TIE], linkage))
                if pool is not None:
                    most = max(most, blend(pool, rows, a, b, linkage))
                rows[b, ENDS] = GONE
                if not stays:
                    continue
            rows[r, ENDS] = ends
            enter(slots, slot, ends, r)
            listed[put] = r
            put += 1
        if put > start:
            clusters[c, LENGTH], clusters[tail, AFTER] = put - start, c
            tail = c
        c = behind
    clusters[tail, AFTER], clusters[keep, LAST], clusters[keep, DEGREE] = -1, tail, degree + new
    tally[USED] += np.uint64(new)
    tally[MOST] = max(tally[MOST], most)


@kernel
def look_ahead(rows: Any, listed: Any, clusters: Any, wanted: Any) -> Any:
    """Read these rows and where their clusters' rows start, for a caller that soon contracts; returns a sum of it."""
    seen, last, end = np.int64(0), len(clusters) - 1, len(listed) - 1
    for r in wanted:
        seen += np.int64(rows[r, TIE])
    for r in wanted:
        ends = rows[r, ENDS]
        seen += clusters[min(low_end(ends), last), START] + clusters[min(high_end(ends), last), START]
    for r in wanted:
        ends = rows[r, ENDS]
        low, high = clusters[min(low_end(ends), last), START], clusters[min(high_end(ends), last), START]
        seen += listed[min(low, end)] + listed[min(high, end)]
    return seen
