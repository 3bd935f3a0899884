"""Hashing of unordered vertex pairs: open addressing with linear probing over row numbers.

A table is an int32 array of a power of two, -1 where empty; the pair of row r stands in ends[step * r] and the place
behind it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from emseg.tasks.arrays.kernel import kernel


@kernel
def capacity(rows: int) -> int:
    """Table size for so many rows: a power of two, at most half full."""
    size = 16
    while size < 2 * rows:
        size *= 2
    return size


@kernel
def home(u: Any, v: Any, mask: Any) -> Any:
    """Where a pair would stand if nothing were in its way."""
    low, high = (u, v) if u < v else (v, u)
    mixed = ((np.uint64(low) << np.uint64(32)) | np.uint64(high)) * np.uint64(0x9E3779B97F4A7C15)
    return np.int64((mixed ^ (mixed >> np.uint64(32))) & np.uint64(mask))


@kernel
def spot(table: Any, ends: Any, step: int, u: Any, v: Any) -> Any:
    """Place of the pair in the table, or the empty place where it belongs."""
    mask = len(table) - 1
    i = home(u, v, mask)
    while table[i] >= 0:
        r = table[i]
        a, b = ends[step * r], ends[step * r + 1]
        if (a == u and b == v) or (a == v and b == u):
            return i
        i = (i + 1) & mask
    return i
