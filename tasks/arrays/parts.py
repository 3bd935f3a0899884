"""Part lists: the voxels of a cluster, each with the key at which it joined, for the size rule.

A list is linked and ascends by key; key order is weight descending, then edge key ascending. Only "how many joined
before k" is ever asked, against one bound: once the earliest parts reach it, the rest is folded into the last of them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from emseg.tasks.arrays.kernel import kernel

FIRST_MAX, FIRST_EDGE = np.uint64(65535), np.uint64(0)  # before every edge: edge key 0 has no lower end


class Parts(NamedTuple):
    """max, edge, voxels: uint64[parts]; after: int32[parts]; first: int32[clusters]; small: uint64, the bound."""

    max: Any
    edge: Any
    voxels: Any
    after: Any
    first: Any
    small: Any


@kernel
def earlier(max_a: Any, edge_a: Any, max_b: Any, edge_b: Any) -> Any:
    """Whether key a comes before key b."""
    return max_a > max_b or (max_a == max_b and edge_a < edge_b)


@kernel
def parts_of(n: int, cluster: Any, top: Any, edge: Any, voxels: Any, small: Any) -> Parts:
    """Lists of n clusters from columns in any order; the columns become the lists' own."""
    p = Parts(top, edge, voxels, np.full(len(top), -1, np.int32), np.full(n, -1, np.int32), small)
    for i in range(len(top)):
        p.first[cluster[i]] = folded(p, merged(p, p.first[cluster[i]], i))
    return p


@kernel
def merged(p: Parts, a: Any, b: Any) -> Any:
    """Head of the two ascending lists a and b as one; parts of equal key add up."""
    head, tail = -1, -1
    while a >= 0 or b >= 0:
        if b < 0 or (a >= 0 and not earlier(p.max[b], p.edge[b], p.max[a], p.edge[a])):
            i = a
            a = p.after[a]
        else:
            i = b
            b = p.after[b]
        if tail >= 0 and p.max[tail] == p.max[i] and p.edge[tail] == p.edge[i]:
            p.voxels[tail] += p.voxels[i]
            continue
        if tail < 0:
            head = i
        else:
            p.after[tail] = i
        p.after[i] = -1
        tail = i
    return head


@kernel
def folded(p: Parts, head: Any) -> Any:
    """Fold what comes after the bound is reached into the part that reaches it; returns the head."""
    total, i = np.uint64(0), head
    while i >= 0:
        total += p.voxels[i]
        if total >= p.small:
            j = p.after[i]
            while j >= 0:
                p.voxels[i] += p.voxels[j]
                j = p.after[j]
            p.after[i] = -1
            break
        i = p.after[i]
    return head


@kernel
def is_large(p: Parts, cluster: Any, top: Any, edge: Any) -> Any:
    """Whether the parts that joined before the key reach the bound."""
    total, i = np.uint64(0), p.first[cluster]
    while total < p.small and i >= 0 and earlier(p.max[i], p.edge[i], top, edge):
        total += p.voxels[i]
        i = p.after[i]
    return total >= p.small


@kernel
def join(p: Parts, host: Any, guest: Any, top: Any, edge: Any) -> Any:
    """Head of host's list with guest's taken in; no part of the guest joined before the key."""
    i = p.first[guest]
    while i >= 0 and earlier(p.max[i], p.edge[i], top, edge):
        p.max[i], p.edge[i] = top, edge
        i = p.after[i]
    return folded(p, merged(p, p.first[host], p.first[guest]))


@kernel
def total_voxels(p: Parts, cluster: Any) -> Any:
    """All voxels of a cluster."""
    total, i = np.uint64(0), p.first[cluster]
    while i >= 0:
        total += p.voxels[i]
        i = p.after[i]
    return total
