"""Stable order of integer keys: a radix sort that passes over the digits that differ.

Rows of a chunk share most bits of their edge keys, and a digit begins where keys differ: a sort of 64 bits is three or
four passes, not six.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from emseg.tasks.arrays.columns import I64, U64
from emseg.tasks.arrays.kernel import kernel

DIGIT, DIGITS = np.uint64(11), 1 << 11


def order_of(*keys: U64) -> I64:
    """int64: rows in ascending order of their keys, uint64 of one length, the first key first; equal ones as given."""
    order = np.arange(len(keys[0]), dtype=np.int64)
    for key in reversed(keys):
        order = _ordered(key, order)
    return order


@kernel
def _ordered(key: Any, order: Any) -> Any:
    """Order, made stable by key."""
    differ = np.uint64(0)
    for k in key:
        differ |= k ^ key[0]
    other, shift = np.empty_like(order), np.uint64(0)
    while shift < 64 and differ >> shift:
        if not (differ >> shift) & np.uint64(1):
            shift += np.uint64(1)
            continue
        _pass(key, shift, order, other)
        order, other = other, order
        shift += DIGIT
    return order


@kernel
def _pass(key: Any, shift: Any, order: Any, out: Any) -> None:
    """Deal the rows out by one digit."""
    place = np.zeros(DIGITS + 1, np.int64)
    for k in key:
        place[((k >> shift) & np.uint64(DIGITS - 1)) + np.uint64(1)] += 1
    for d in range(DIGITS):
        place[d + 1] += place[d]
    for r in order:
        d = (key[r] >> shift) & np.uint64(DIGITS - 1)
        out[place[d]] = r
        place[d] += 1
