"""Union-find whose root is the least member, for voxels and for handles."""

from __future__ import annotations

from typing import Any

import numpy as np

from emseg.tasks.arrays.columns import I64
from emseg.tasks.arrays.kernel import kernel


@kernel
def find(parent: Any, i: Any) -> Any:
    """Root of i; halves the path on the way."""
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@kernel
def unite(parent: Any, i: Any, j: Any) -> None:
    """Join two sets under the lesser root."""
    a, b = find(parent, i), find(parent, j)
    if a < b:
        parent[b] = a
    elif b < a:
        parent[a] = b


@kernel
def flatten(parent: Any) -> None:
    """Point every member at its root."""
    for i in range(len(parent)):
        parent[i] = find(parent, i)


@kernel
def unite_pairs(parent: Any, i: Any, j: Any) -> None:
    """Join every pair, then point every member at its root."""
    for k in range(len(i)):
        unite(parent, i[k], j[k])
    flatten(parent)


def roots_of_pairs(n: int, i: I64, j: I64) -> I64:
    """int64[n]: least member of the set of each of n members once the pairs (i, j) are joined."""
    parent = np.arange(n, dtype=np.int64)
    unite_pairs(parent, i, j)
    return parent
