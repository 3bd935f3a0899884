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

START, LENGTH, AFTER, LAST, DEGREE = range(5)  # of a slice: in `listed`, the chain; of its cluster: last slice, rows
USED, MOST, SEEN = range(3)  # of the tally: slots in use, greatest denominator met, a sum of what was read ahead


class Graph(NamedTuple):
    """A ledger and who has which of its rows.

    rows: uint64[rows, 4]. listed: int32[2 rows], row numbers. slices: int32[clusters, 5], one of each original cluster.
    slots: uint64, the hash of pairs. tally: uint64[3].
    """

    rows: Any
    listed: Any
    slices: Any
    slots: Any
    tally: Any


@kernel
def graph_of(n: int, u: Any, v: Any, num: Any, den: Any, tie: Any, linkage: int) -> Graph:
    """Graph over n clusters from rows of cluster numbers; parallel rows combined, self rows left out."""
    rows, slots, tally = np.empty((len(u), WORDS), np.uint64), pair_slots(len(u)), np.zeros(3, np.uint64)
    slices, used, most = np.zeros((n, 5), np.int32), 0, np.uint64(0)
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
        slices[u[i], DEGREE] += 1
        slices[v[i], DEGREE] += 1
        used += 1
    tally[USED], tally[MOST] = used, most
    return Graph(rows[:used], _listed(rows[:used], slices), slices, slots, tally)


@kernel
def _listed(rows: Any, slices: Any) -> Any:
    """Lay out the slices; returns the rows in them."""
    listed, end = np.empty(2 * len(rows), np.int32), 0
    for c in range(len(slices)):
        end += slices[c, DEGREE]
        slices[c, START], slices[c, LENGTH], slices[c, AFTER], slices[c, LAST] = end, slices[c, DEGREE], -1, c
    for r in range(len(rows) - 1, -1, -1):
        ends = rows[r, ENDS]
        for c in (low_end(ends), high_end(ends)):
            slices[c, START] -= 1
            listed[slices[c, START]] = r
    return listed


@kernel
def contract(g: Graph, u: Any, v: Any, linkage: int) -> Any:
    """Make one cluster of two; returns the number that stays."""
    keep, gone = (u, v) if g.slices[u, DEGREE] >= g.slices[v, DEGREE] else (v, u)
    g.tally[USED] = make_room(g.slots, g.rows, g.tally[USED], np.uint64(g.slices[gone, DEGREE]))
    _leave_out_gone(g.rows, g.listed, g.slices, gone)
    g.tally[SEEN] += _look_ahead(g.rows, g.slots, g.listed, g.slices, keep, gone)
    _move(g.rows, g.slots, g.listed, g.slices, g.tally, keep, gone, linkage)
    return keep


@kernel
def _leave_out_gone(rows: Any, listed: Any, slices: Any, cluster: Any) -> None:
    """Take rows that are gone out of a cluster's slices."""
    c = np.int64(cluster)
    while c >= 0:
        start = np.int64(slices[c, START])
        put = start
        for i in range(start, start + np.int64(slices[c, LENGTH])):
            r = listed[i]
            listed[put] = r
            put += rows[r, ENDS] != GONE
        slices[c, LENGTH] = put - start
        c = np.int64(slices[c, AFTER])


@kernel
def _look_ahead(rows: Any, slots: Any, listed: Any, slices: Any, keep: Any, gone: Any) -> Any:
    """Read, for the cache's sake, what `_move` will ask for: here no read waits for another. Returns a sum of it."""
    seen, c = np.uint64(0), np.int64(gone)
    while c >= 0:
        start = np.int64(slices[c, START])
        for i in range(start, start + np.int64(slices[c, LENGTH])):
            ends = rows[listed[i], ENDS]
            entry = slots[first_slot(slots, ends_of(keep, low_end(ends) + high_end(ends) - gone))]
            seen += rows[np.int64(entry & LOW_HALF) - 1, SCORE]
        c = np.int64(slices[c, AFTER])
    return seen


@kernel
def _move(rows: Any, slots: Any, listed: Any, slices: Any, tally: Any, keep: Any, gone: Any, linkage: int) -> None:
    """Give the rows of one cluster to another, and hang its slices, as far as rows are left in them, onto its chain."""
    tail, c = np.int64(slices[keep, LAST]), np.int64(gone)
    degree, most, new = np.int64(slices[keep, DEGREE]), np.uint64(0), 0
    while c >= 0:
        behind, start = np.int64(slices[c, AFTER]), np.int64(slices[c, START])
        put = start
        for i in range(start, start + np.int64(slices[c, LENGTH])):
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
                slices[other, DEGREE] -= 1
                stays = better(rows, r, s)
                a, b = (r, s) if stays else (s, r)
                most = max(most, combine(rows, a, num_of(rows, b), den_of(rows, b), rows[b, TIE], linkage))
                rows[b, ENDS] = GONE
                if not stays:
                    continue
            rows[r, ENDS] = ends
            enter(slots, slot, ends, r)
            listed[put] = r
            put += 1
        if put > start:
            slices[c, LENGTH], slices[tail, AFTER] = put - start, c
            tail = c
        c = behind
    slices[tail, AFTER], slices[keep, LAST], slices[keep, DEGREE] = -1, tail, degree + new
    tally[USED] += np.uint64(new)
    tally[MOST] = max(tally[MOST], most)
