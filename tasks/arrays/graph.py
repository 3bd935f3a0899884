"""A region graph that contracts: rows between clusters, found by pair and by end, scored in a queue.

Row r has half-edges 2 r and 2 r + 1; `end[h]` is the cluster of half-edge h, `end[h ^ 1]` the one across. The
half-edges of a cluster are a doubly linked list. Taking v into u walks the list of the one with fewer rows, so a
cluster number is only a place in memory; who is called what is the caller's matter.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from emseg.tasks.arrays.kernel import kernel
from emseg.tasks.arrays.pairs import capacity, erase, spot
from emseg.tasks.arrays.queue import Queue, fill, moved, queue_of, remove

GONE = -1
MEAN, MAX = 0, 1  # linkages


class Graph(NamedTuple):
    """end, after, prior: int32[2 rows]; first, degree: int32[clusters]; table: int32."""

    end: Any
    after: Any
    prior: Any
    first: Any
    degree: Any
    table: Any


@kernel
def link(g: Graph, h: Any, u: Any) -> None:
    """Give half-edge h to cluster u."""
    head = g.first[u]
    g.end[h], g.after[h], g.prior[h] = u, head, -1
    if head >= 0:
        g.prior[head] = h
    g.first[u] = h
    g.degree[u] += 1


@kernel
def unlink(g: Graph, h: Any) -> None:
    """Take half-edge h from its cluster's list."""
    u, a, p = g.end[h], g.after[h], g.prior[h]
    if p >= 0:
        g.after[p] = a
    else:
        g.first[u] = a
    if a >= 0:
        g.prior[a] = p
    g.degree[u] -= 1
    g.end[h] = GONE


@kernel
def combine(q: Queue, r: Any, num: Any, den: Any, tie: Any, linkage: int) -> None:
    """Take a parallel row into row r: mean adds sums and counts and keeps the greater tie key; max keeps the better."""
    if linkage == MAX:
        if num > q.num[r] or (num == q.num[r] and tie < q.tie[r]):
            q.num[r], q.tie[r], q.quotient[r] = num, tie, num
        return
    q.num[r] += num
    q.den[r] += den
    q.tie[r] = max(q.tie[r], tie)
    q.quotient[r] = q.num[r] // q.den[r]


@kernel
def graph_of(n: int, u: Any, v: Any, num: Any, den: Any, tie: Any, linkage: int) -> Any:
    """Graph over n clusters and its queue, from rows of cluster numbers; parallel rows combined, self rows left out."""
    m = len(u)
    g = Graph(
        np.full(2 * m, GONE, np.int32),
        np.empty(2 * m, np.int32),
        np.empty(2 * m, np.int32),
        np.full(n, -1, np.int32),
        np.zeros(n, np.int32),
        np.full(capacity(m), -1, np.int32),
    )
    q = queue_of(np.ones(m, np.uint64), np.ones(m, np.uint64), np.zeros(m, np.uint64))
    rows = 0
    for i in range(m):
        if u[i] == v[i]:
            continue
        at = spot(g.table, g.end, 2, u[i], v[i])
        if g.table[at] >= 0:
            combine(q, g.table[at], num[i], den[i], tie[i], linkage)
            continue
        g.table[at] = rows
        link(g, 2 * rows, u[i])
        link(g, 2 * rows + 1, v[i])
        q.num[rows], q.den[rows], q.tie[rows], q.quotient[rows] = num[i], den[i], tie[i], num[i] // den[i]
        rows += 1
    fill(q, rows)
    return g, q


@kernel
def drop(g: Graph, q: Queue, r: Any) -> None:
    """Take row r out of everything."""
    erase(g.table, g.end, 2, g.end[2 * r], g.end[2 * r + 1])
    unlink(g, 2 * r)
    unlink(g, 2 * r + 1)
    remove(q, r)


@kernel
def contract(g: Graph, q: Queue, u: Any, v: Any, linkage: int) -> Any:
    """Make one cluster of two; returns the number that stays."""
    keep, gone = (u, v) if g.degree[u] >= g.degree[v] else (v, u)
    h = g.first[gone]
    while h >= 0:
        after, r, other = g.after[h], h >> 1, g.end[h ^ 1]
        s = -1 if other == keep else g.table[spot(g.table, g.end, 2, keep, other)]
        if other == keep:
            drop(g, q, r)
        elif s >= 0:
            combine(q, s, q.num[r], q.den[r], q.tie[r], linkage)
            drop(g, q, r)
            moved(q, s)
        else:
            erase(g.table, g.end, 2, gone, other)
            unlink(g, h)
            link(g, h, keep)
            g.table[spot(g.table, g.end, 2, keep, other)] = r
        h = after
    return keep
