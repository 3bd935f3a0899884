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

from emseg.tasks.arrays.columns import I64, U16, U64, Bool
from emseg.tasks.arrays.kernel import kernel
from emseg.tasks.arrays.order import order_of
from emseg.tasks.arrays.parts import FIRST_EDGE, FIRST_MAX, Parts, is_large, join, parts_of, total_voxels
from emseg.tasks.arrays.union import find, flatten
from emseg.tasks.arrays.weights import TOP


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


def size_rule(waiting: Bool, parts: PartColumns, rows: MaxRows, small: int, w_low: int = 0) -> Joined:
    """Apply S to clusters 0..n-1, over the rows whose weight is at least w_low; parallel rows may stand apart."""
    n = len(waiting)
    lists = parts_of(
        n, parts.cluster, parts.max.astype(np.uint64), parts.edge.copy(), parts.voxels.copy(), np.uint64(small)
    )
    open_rows = np.flatnonzero(_in_question(rows.u, rows.v, rows.max, lists, w_low))
    order = open_rows[order_of(TOP - rows.max[open_rows].astype(np.uint64), rows.edge[open_rows])]
    u, v, top, edge = rows.u[order], rows.v[order], rows.max[order], rows.edge[order]
    root, waits, left = np.arange(n, dtype=np.int64), waiting.copy(), np.zeros(len(u), bool)
    _join_small(u, v, top, edge, lists, waits, root, left)
    flatten(root)
    undecided = _first_of_pairs(MaxRows(root[u[left]], root[v[left]], top[left], edge[left]))
    called = root == np.arange(n)
    waits &= called
    opened = waits.copy()
    opened[undecided.u] = opened[undecided.v] = True
    voxels = np.zeros(n, np.uint64)
    _totals(lists, called, voxels)
    cluster, part_max, part_edge, part_voxels = _listed(lists, np.flatnonzero(opened))
    columns = PartColumns(cluster, part_max.astype(np.uint16), part_edge, part_voxels)
    return Joined(root, waits, undecided, columns, voxels)


def _first_of_pairs(rows: MaxRows) -> MaxRows:
    """Of ordered rows the first of each pair, which is the pair's row: its greatest weight, then the least edge key."""
    u, v = np.minimum(rows.u, rows.v), np.maximum(rows.u, rows.v)
    order = order_of(u.astype(np.uint64), v.astype(np.uint64))
    u, v = u[order], v[order]
    first = np.ones(len(u), bool)
    first[1:] = (u[1:] != u[:-1]) | (v[1:] != v[:-1])
    return MaxRows(u[first], v[first], rows.max[order[first]], rows.edge[order[first]])


@kernel
def _in_question(rows_u: Any, rows_v: Any, top: Any, parts: Parts, w_low: int) -> Any:
    """bool: rows that pass and have an end that was not large before every edge; such ends are refused for good."""
    n = len(parts.first)
    large, kept = np.empty(n, np.bool_), np.empty(len(rows_u), np.bool_)
    for c in range(n):
        large[c] = is_large(parts, c, FIRST_MAX, FIRST_EDGE + np.uint64(1))
    for i in range(len(rows_u)):
        kept[i] = top[i] >= w_low and not (large[rows_u[i]] and large[rows_v[i]])
    return kept


@kernel
def _join_small(
    rows_u: Any, rows_v: Any, top: Any, edge: Any, parts: Parts, waiting: Any, parent: Any, left: Any
) -> None:
    """Run S over rows in order; a cluster is called by its least member; marks the rows left undecided.

    Of parallel rows only the first can merge: after a refusal both ends stay large, and a row that found a waiting
    end undecided leaves nothing for a later one of the same pair but a refusal, or to be undecided too.
    """
    for i in range(len(rows_u)):
        u, v = find(parent, rows_u[i]), find(parent, rows_v[i])
        if u == v:
            continue
        k_max, k_edge = np.uint64(top[i]), edge[i]
        large_u, large_v = is_large(parts, u, k_max, k_edge), is_large(parts, v, k_max, k_edge)
        if large_u and large_v:
            continue
        wait_u, wait_v = waiting[u], waiting[v]
        if (wait_u and wait_v) or (wait_u and large_v) or (wait_v and large_u):
            left[i] = True
            continue
        host, guest = (v, u) if wait_v or (large_v and not wait_u) else (u, v)
        keep, gone = min(u, v), max(u, v)
        parts.first[keep] = join(parts, host, guest, k_max, k_edge)
        parent[gone] = keep
        waiting[keep] = wait_u or wait_v


@kernel
def _totals(parts: Parts, called: Any, voxels: Any) -> None:
    for i in range(len(called)):
        if called[i]:
            voxels[i] = total_voxels(parts, i)


@kernel
def _listed(parts: Parts, clusters: Any) -> Any:
    """The lists of these clusters as columns, by cluster and key."""
    n = 0
    for c in clusters:
        i = parts.first[c]
        while i >= 0:
            n += 1
            i = parts.after[i]
    cluster, top = np.empty(n, np.int64), np.empty(n, np.uint64)
    edge, voxels = np.empty(n, np.uint64), np.empty(n, np.uint64)
    n = 0
    for c in clusters:
        i = parts.first[c]
        while i >= 0:
            cluster[n], top[n], edge[n], voxels[n] = c, parts.max[i], parts.edge[i], parts.voxels[i]
            n += 1
            i = parts.after[i]
    return cluster, top, edge, voxels
