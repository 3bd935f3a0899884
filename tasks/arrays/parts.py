"""Part lists: the voxels of a cluster, each with the key at which it joined, for the size rule.

A list is linked and ascends by key; key order is weight descending, then edge key ascending. Only "how many joined
before k" is ever asked, against one bound: once the earliest parts reach it, the rest is folded into the last of them.
Joins come in the order of their keys, and so nearly always a guest becomes one part behind its host's, and a list is
asked for its total alone: it is walked only where parts came from below with later keys.

Kernels that run once a row take arrays, not the tuple of them, which numba would count references to.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from emseg.tasks.arrays.columns import I64, U16, U64
from emseg.tasks.arrays.kernel import kernel

FIRST_MAX, FIRST_EDGE = np.uint64(65535), np.uint64(0)  # before every edge: edge key 0 has no lower end
MAX, EDGE, VOXELS, AFTER = range(4)  # words of a part; AFTER: the next one, NONE behind the last
FIRST, LAST, TOTAL = range(3)  # words of a list: its ends, NONE if it has no part; all its voxels
NONE = np.int64(-1)


class Parts(NamedTuple):
    """part: int64[parts, 4], edge keys by their bits. own: int64[clusters, 3], the lists. small: int64, the bound."""

    part: Any
    own: Any
    small: Any


def parts_of(n: int, cluster: I64, top: U16, edge: U64, voxels: U64, small: int) -> Parts:
    """Lists of n clusters from columns in any order."""
    part = np.empty((len(cluster), 4), np.int64)
    part[:, MAX], part[:, EDGE], part[:, VOXELS], part[:, AFTER] = top, edge.view(np.int64), voxels, NONE
    own = np.empty((n, 3), np.int64)
    own[:, FIRST] = own[:, LAST] = NONE
    own[:, TOTAL] = 0
    _listed(part, own, np.int64(small), cluster)
    return Parts(part, own, np.int64(small))


@kernel
def _listed(part: Any, own: Any, small: Any, cluster: Any) -> None:
    for i in range(len(cluster)):
        _behind(part, own, small, cluster[i], i, i, part[i, VOXELS])


@kernel
def earlier(max_a: Any, edge_a: Any, max_b: Any, edge_b: Any) -> Any:
    """Whether key a comes before key b; edges are uint64."""
    return max_a > max_b or (max_a == max_b and np.uint64(edge_a) < np.uint64(edge_b))


@kernel
def _behind(part: Any, own: Any, small: Any, c: Any, head: Any, tail: Any, total: Any) -> None:
    """Take the ascending list from head to tail into a cluster's."""
    last, size = own[c, LAST], own[c, TOTAL]
    own[c, TOTAL] = size + total
    if last == NONE:
        own[c, FIRST], own[c, LAST] = head, tail
    elif head != tail or not earlier(part[last, MAX], part[last, EDGE], part[head, MAX], part[head, EDGE]):
        own[c, FIRST] = _merged(part, own[c, FIRST], head)
        own[c, LAST] = _folded(part, own[c, FIRST], small)
    elif size >= small:
        part[last, VOXELS] += total
    else:
        part[last, AFTER] = own[c, LAST] = head


@kernel
def _merged(part: Any, a: Any, b: Any) -> Any:
    """Head of the two ascending lists a and b as one; parts of equal key add up."""
    head, tail = NONE, NONE
    while a != NONE or b != NONE:
        if b == NONE or (a != NONE and not earlier(part[b, MAX], part[b, EDGE], part[a, MAX], part[a, EDGE])):
            i = a
            a = part[a, AFTER]
        else:
            i = b
            b = part[b, AFTER]
        if tail != NONE and part[tail, MAX] == part[i, MAX] and part[tail, EDGE] == part[i, EDGE]:
            part[tail, VOXELS] += part[i, VOXELS]
            continue
        if tail == NONE:
            head = i
        else:
            part[tail, AFTER] = i
        part[i, AFTER] = NONE
        tail = i
    return head


@kernel
def _folded(part: Any, head: Any, small: Any) -> Any:
    """Fold what comes after the bound is reached into the part that reaches it; returns the last part."""
    total, i, last = np.int64(0), head, head
    while i != NONE:
        total += part[i, VOXELS]
        if total >= small:
            j = part[i, AFTER]
            while j != NONE:
                part[i, VOXELS] += part[j, VOXELS]
                j = part[j, AFTER]
            part[i, AFTER] = NONE
        last = i
        i = part[i, AFTER]
    return last


@kernel
def is_large(part: Any, own: Any, small: Any, c: Any, top: Any, edge: Any) -> Any:
    """Whether the parts of a cluster that joined before the key reach the bound."""
    last = own[c, LAST]
    if last == NONE or own[c, TOTAL] < small or earlier(part[last, MAX], part[last, EDGE], top, edge):
        return own[c, TOTAL] >= small
    total, i = np.int64(0), own[c, FIRST]
    while total < small and i != NONE and earlier(part[i, MAX], part[i, EDGE], top, edge):
        total += part[i, VOXELS]
        i = part[i, AFTER]
    return total >= small


@kernel
def join(part: Any, own: Any, small: Any, host: Any, guest: Any, top: Any, edge: Any) -> None:
    """Take guest's list into host's; no part of the guest joined before the key."""
    i, tail = own[guest, FIRST], own[guest, LAST]
    if i == NONE:
        return
    if not earlier(top, edge, part[tail, MAX], part[tail, EDGE]):  # all of it joins now: one part
        part[i, MAX], part[i, EDGE], part[i, VOXELS], part[i, AFTER] = top, edge, own[guest, TOTAL], NONE
        tail = i
    j = i
    while j != NONE and earlier(part[j, MAX], part[j, EDGE], top, edge):
        part[j, MAX], part[j, EDGE] = top, edge
        j = part[j, AFTER]
    _behind(part, own, small, host, i, tail, own[guest, TOTAL])
