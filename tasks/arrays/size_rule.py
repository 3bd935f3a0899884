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
from emseg.tasks.arrays.parts import (
    AFTER,
    EDGE,
    FIRST,
    FIRST_EDGE,
    FIRST_MAX,
    LAST,
    MAX,
    NONE,
    TOTAL,
    VOXELS,
    is_large,
    join,
    parts_of,
)
from emseg.tasks.arrays.union import find, flatten
from emseg.tasks.arrays.weights import TOP

WAITS, HAS_SIZE, LARGE = np.uint8(1), np.uint8(2), np.uint8(4)  # what a cluster is: see `_join_small`
BLOCK = 64  # rows whose ends are read ahead


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
    p = parts_of(n, parts.cluster, parts.max, parts.edge, parts.voxels, small)
    open_rows = np.flatnonzero(_in_question(rows.u, rows.v, rows.max, *p, w_low))
    order = open_rows[order_of(TOP - rows.max[open_rows].astype(np.uint64), rows.edge[open_rows])]
    parent, state = np.arange(n, dtype=np.int32), WAITS * waiting + HAS_SIZE * (p.own[:, TOTAL] >= small)
    left = order[_join_small(rows.u, rows.v, rows.max, rows.edge, order, *p, state, parent)]
    flatten(parent)
    root, waits = parent.astype(np.int64), state & WAITS > 0
    undecided = _first_of_pairs(MaxRows(root[rows.u[left]], root[rows.v[left]], rows.max[left], rows.edge[left]))
    called = root == np.arange(n)
    waits &= called
    opened = waits.copy()
    opened[undecided.u] = opened[undecided.v] = True
    cluster, part_max, part_edge, part_voxels = _listed(p.part, p.own, np.flatnonzero(opened))
    columns = PartColumns(cluster, part_max, part_edge, part_voxels)
    voxels = np.where(called, p.own[:, TOTAL], 0).astype(np.uint64)
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
def _in_question(rows_u: Any, rows_v: Any, top: Any, part: Any, own: Any, small: Any, w_low: int) -> Any:
    """bool: rows that pass and have an end that was not large before every edge; such ends are refused for good."""
    n = len(own)
    large, kept = np.empty(n, np.bool_), np.empty(len(rows_u), np.bool_)
    for c in range(n):
        large[c] = is_large(part, own, small, c, np.int64(FIRST_MAX), FIRST_EDGE + np.uint64(1))
    for i in range(len(rows_u)):
        kept[i] = top[i] >= w_low and not (large[rows_u[i]] and large[rows_v[i]])
    return kept


@kernel
def _join_small(
    rows_u: Any, rows_v: Any, top: Any, edge: Any, order: Any, part: Any, own: Any, small: Any, state: Any, parent: Any
) -> Any:
    """Run S over rows in order; a cluster is called by its least member. bool: which of `order` are left undecided.

    Of parallel rows only the first can merge: after a refusal both ends stay large, and a row that found a waiting
    end undecided leaves nothing for a later one of the same pair but a refusal, or to be undecided too.

    state: of each root. WAITS; HAS_SIZE: all its voxels reach the bound; LARGE: those before some key did, and so those
    before every later key do. It is small enough to stay in the cache.
    """
    left, near = np.zeros(len(order), np.bool_), np.empty((2, BLOCK), np.int32)
    for i in range(len(order)):
        if i % BLOCK == 0:
            _step_up(rows_u, rows_v, order[i : i + BLOCK], parent, near)
        u, v = find(parent, near[0, i % BLOCK]), find(parent, near[1, i % BLOCK])
        if u == v or state[u] & state[v] & LARGE:
            continue
        r = order[i]  # its key lies far away: asked for where it counts
        for c in (u, v):
            if state[c] & (HAS_SIZE | LARGE) == HAS_SIZE and is_large(part, own, small, c, np.int64(top[r]), edge[r]):
                state[c] |= LARGE
        large_u, large_v = state[u] & LARGE > 0, state[v] & LARGE > 0
        wait_u, wait_v = state[u] & WAITS > 0, state[v] & WAITS > 0
        if large_u and large_v:
            continue
        if (wait_u and wait_v) or (wait_u and large_v) or (wait_v and large_u):
            left[i] = True
            continue
        host, guest = (v, u) if wait_v or (large_v and not wait_u) else (u, v)
        join(part, own, small, host, guest, np.int64(top[r]), edge[r])
        keep, gone = min(u, v), max(u, v)
        own[keep, FIRST], own[keep, LAST], own[keep, TOTAL] = own[host, FIRST], own[host, LAST], own[host, TOTAL]
        parent[gone] = keep
        state[keep] |= state[gone] | (HAS_SIZE if own[keep, TOTAL] >= small else np.uint8(0))
    return left


@kernel
def _step_up(rows_u: Any, rows_v: Any, order: Any, parent: Any, near: Any) -> None:
    """The parents of both ends of rows that come soon: no read here waits for another."""
    for k in range(len(order)):
        near[0, k], near[1, k] = parent[rows_u[order[k]]], parent[rows_v[order[k]]]


@kernel
def _listed(part: Any, own: Any, clusters: Any) -> Any:
    """The lists of these clusters as columns, by cluster and key."""
    n = 0
    for c in clusters:
        i = own[c, FIRST]
        while i != NONE:
            n += 1
            i = part[i, AFTER]
    cluster, top = np.empty(n, np.int64), np.empty(n, np.uint16)
    edge, voxels = np.empty(n, np.uint64), np.empty(n, np.uint64)
    n = 0
    for c in clusters:
        i = own[c, FIRST]
        while i != NONE:
            cluster[n], top[n], edge[n], voxels[n] = c, part[i, MAX], np.uint64(part[i, EDGE]), part[i, VOXELS]
            n += 1
            i = part[i, AFTER]
    return cluster, top, edge, voxels
