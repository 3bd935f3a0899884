"""The size rule S: in the order of their greatest weight, rows merge if either end is small, else they are refused.

A cluster waits while it has a contact that this node does not see. Waiting never propagates:
1. A clean small cluster cannot have grown before its best row comes up, so it surely joins along it, whatever waits on
   the other side. It is the guest; its voxels carry the key of that row. The host keeps its own keys.
2. A decision at key k counts only voxels that joined before k.
3. Two ends known to be large are refused for good.
4. What is left undecided has a waiting end that is not known to be large.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from emseg.tasks.arrays.columns import I64, U16, U64, Bool
from emseg.tasks.arrays.graph import contract, drop, graph_of
from emseg.tasks.arrays.parts import Parts, is_large, join, parts_of, total_voxels
from emseg.tasks.arrays.queue import pop
from emseg.tasks.arrays.union import flatten


@dataclass(frozen=True)
class PartColumns:
    """Part lists as columns: cluster number, join key (weight, edge key), voxels."""

    cluster: I64
    max: U16
    edge: U64
    voxels: U64


@dataclass(frozen=True)
class MaxRows:
    """Rows of S between cluster numbers: greatest weight, least edge key of that weight."""

    u: I64
    v: I64
    max: U16
    edge: U64


@dataclass(frozen=True)
class Joined:
    """What S did to n clusters: a cluster is called by its least member.

    root: int64[n], least member. waiting: bool[n], at roots. undecided: rows between roots. parts: lists of the roots
    that wait or are undecided. voxels: uint64[n], at roots, all voxels.
    """

    root: I64
    waiting: Bool
    undecided: MaxRows
    parts: PartColumns
    voxels: U64


def size_rule(waiting: Bool, parts: PartColumns, rows: MaxRows, small: int) -> Joined:
    """Apply S to clusters 0..n-1; rows that fail t_low are left out by the caller, parallel rows may stand apart."""
    n = len(waiting)
    table = parts_of(
        n, parts.cluster, parts.max.astype(np.uint64), parts.edge.copy(), parts.voxels.copy(), np.uint64(small)
    )
    root, waits = np.arange(n, dtype=np.int64), waiting.copy()
    name = np.arange(n, dtype=np.int64)
    u, v, top, edge = _join_small(rows.u, rows.v, rows.max.astype(np.uint64), rows.edge, table, waits, root, name)
    flatten(root)
    u, v = name[u], name[v]
    undecided = MaxRows(np.minimum(u, v), np.maximum(u, v), top.astype(np.uint16), edge)
    opened = np.zeros(n, bool)
    opened[name[root[waits[root]]]] = True
    opened[u] = opened[v] = True
    place = root.copy()
    place[name[root]] = root  # where the cluster called i keeps its list
    return _collected(name[root], place, opened, waits[place], undecided, table)


def _collected(root: I64, place: I64, opened: Bool, waiting: Bool, undecided: MaxRows, table: Parts) -> Joined:
    n = len(root)
    called = root == np.arange(n)
    voxels = np.zeros(n, np.uint64)
    _totals(table, place, called, voxels)
    kept = np.flatnonzero(opened & called)
    cluster, top, edge, part_voxels = _listed(table, kept, place)
    parts = PartColumns(cluster, top.astype(np.uint16), edge, part_voxels)
    return Joined(root, waiting & called, undecided, parts, voxels)


@njit(cache=True, nogil=True)
def _join_small(
    rows_u: Any, rows_v: Any, top: Any, edge: Any, parts: Parts, waiting: Any, parent: Any, name: Any
) -> Any:
    """Run S; returns the rows left undecided, between places of clusters."""
    g, q = graph_of(len(waiting), rows_u, rows_v, top, np.ones(len(top), np.uint64), edge, False)
    while q.size[0] > 0:
        r = pop(q)
        u, v = g.end[2 * r], g.end[2 * r + 1]
        k_max, k_edge = q.num[r], q.tie[r]
        large_u, large_v = is_large(parts, u, k_max, k_edge), is_large(parts, v, k_max, k_edge)
        if large_u and large_v:
            drop(g, q, r)
            continue
        wait_u, wait_v = waiting[u], waiting[v]
        if (wait_u and wait_v) or (wait_u and large_v) or (wait_v and large_u):
            continue
        host, guest = (v, u) if wait_v or (large_v and not wait_u) else (u, v)
        head = join(parts, host, guest, k_max, k_edge)
        keep = contract(g, q, u, v)
        parent[u] = parent[v] = keep
        parts.first[keep] = head
        waiting[keep] = wait_u or wait_v
        name[keep] = min(name[u], name[v])
    left = np.flatnonzero(g.end[::2] >= 0)
    return g.end[2 * left], g.end[2 * left + 1], q.num[left], q.tie[left]


@njit(cache=True, nogil=True)
def _totals(parts: Parts, place: Any, called: Any, voxels: Any) -> None:
    for i in range(len(place)):
        if called[i]:
            voxels[i] = total_voxels(parts, place[i])


@njit(cache=True, nogil=True)
def _listed(parts: Parts, clusters: Any, place: Any) -> Any:
    """The lists of these clusters as columns, by cluster and key."""
    n = 0
    for c in clusters:
        i = parts.first[place[c]]
        while i >= 0:
            n += 1
            i = parts.after[i]
    cluster, top = np.empty(n, np.int64), np.empty(n, np.uint64)
    edge, voxels = np.empty(n, np.uint64), np.empty(n, np.uint64)
    n = 0
    for c in clusters:
        i = parts.first[place[c]]
        while i >= 0:
            cluster[n], top[n], edge[n], voxels[n] = c, parts.max[i], parts.edge[i], parts.voxels[i]
            n += 1
            i = parts.after[i]
    return cluster, top, edge, voxels
