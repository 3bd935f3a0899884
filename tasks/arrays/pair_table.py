"""Which row joins two clusters: a hash table that never erases.

A cluster that was taken into another is never asked for again, so what the table says of it harms nobody; when the
table fills up, it is built anew from the rows that are left. A slot is 32 bits of the pair's hash and 32 of the row
number + 1, 0 where empty; where the hash agrees, the row's own ends decide.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from emseg.tasks.arrays.hashing import PLACE_AT, mixed
from emseg.tasks.arrays.kernel import kernel
from emseg.tasks.arrays.ledger import ENDS, GONE, LOW_HALF


@kernel
def pair_slots(rows: int) -> Any:
    """Empty table for so many rows: uint64, a power of two, at most two thirds full of them."""
    size = 16
    while 2 * size < 3 * rows:
        size *= 2
    return np.zeros(size, np.uint64)


@kernel
def first_slot(slots: Any, ends: Any) -> Any:
    """Where a pair stands if nothing is in its way."""
    return (mixed(ends) >> PLACE_AT) & np.uint64(len(slots) - 1)


@kernel
def slot_of(slots: Any, rows: Any, ends: Any) -> Any:
    """Slot of a pair, or the empty one where it belongs. rows: the ledger."""
    mask, mark, i = np.uint64(len(slots) - 1), mixed(ends) & ~LOW_HALF, first_slot(slots, ends)
    while True:
        slot = slots[i]
        if slot == 0 or ((slot & ~LOW_HALF) == mark and rows[(slot & LOW_HALF) - np.uint64(1), ENDS] == ends):
            return i
        i = (i + np.uint64(1)) & mask


@kernel
def row_at(slots: Any, slot: Any) -> Any:
    """Row of a slot, -1 if it is empty."""
    return np.int64(slots[slot] & LOW_HALF) - 1


@kernel
def enter(slots: Any, slot: Any, ends: Any, r: Any) -> None:
    """Say in a pair's slot that its row is r."""
    slots[slot] = (mixed(ends) & ~LOW_HALF) | np.uint64(r + 1)


@kernel
def make_room(slots: Any, rows: Any, used: Any, wanted: Any) -> Any:
    """Have room for `wanted` more pairs; returns how many slots are in use.

    Fewer are wanted than half the rows that are left, so that even then a slot stays empty.
    """
    if 8 * (np.int64(used) + np.int64(wanted)) <= 7 * len(slots):
        return used
    slots[:] = 0
    used = np.uint64(0)
    for r in range(len(rows)):
        ends = rows[r, ENDS]
        if ends != GONE:
            enter(slots, slot_of(slots, rows, ends), ends, r)
            used += np.uint64(1)
    return used
