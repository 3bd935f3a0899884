"""Sorted ids: looking them up, or saying which one is missing."""

from __future__ import annotations

from typing import Any

import numpy as np

from emseg.tasks.arrays.columns import I64, U64
from emseg.tasks.arrays.hashing import PLACE_AT, mixed
from emseg.tasks.arrays.kernel import kernel
from emseg.tasks.volume.errors import CorruptChunkError

WORTH_HASHING = 1 << 10  # fewer are sought by halving


def index_of(ids: U64, wanted: U64, what: str) -> I64:
    """int64 index of each wanted id in ascending `ids`.

    Raises:
        CorruptChunkError: an id is not there; `what` says in which table it was sought.
    """
    return _all_there(index_or_none(ids, wanted), wanted, what)


def _all_there(at: I64, wanted: U64, what: str) -> I64:
    if (at < 0).any():
        missing = wanted[at < 0][0]
        raise CorruptChunkError(
            f"{what}: id {missing} is not listed; its task and its neighbours' disagree, run them again"
        )
    return at


def index_or_none(ids: U64, wanted: U64) -> I64:
    """int64 index of each wanted id in ascending `ids`, -1 if it is not there."""
    hashes = len(wanted) >= max(WORTH_HASHING, len(ids) // 2)
    out: I64 = _found(ids, _table(ids), wanted) if hashes else _halved(ids, wanted)
    return out


class Places:
    """Places of ids in an ascending list that is asked again and again: its hash table is built once."""

    def __init__(self, ids: U64, what: str) -> None:
        self.ids, self.what, self.table = ids, what, _table(ids)

    def of(self, wanted: U64) -> I64:
        """int64 index of each wanted id.

        Raises:
            CorruptChunkError: an id is not there.
        """
        return _all_there(_found(self.ids, self.table, wanted), wanted, self.what)


def _halved(ids: U64, wanted: U64) -> I64:
    at = np.searchsorted(ids, wanted)
    found = np.zeros(len(wanted), bool)
    inside = at < len(ids)
    found[inside] = ids[at[inside]] == wanted[inside]
    return np.where(found, at, -1).astype(np.int64)


@kernel
def _first(id_: Any, table: Any) -> Any:
    """Where an id's search begins; the table is a power of two, at least 16."""
    return (mixed(id_) >> PLACE_AT) & np.uint64(len(table) - 1)


@kernel
def _table(ids: Any) -> Any:
    """int32 hash table of ids, at most half full: their places, -1 where empty."""
    size = 16
    while size < 2 * len(ids):
        size *= 2
    table, mask = np.full(size, -1, np.int32), np.uint64(size - 1)
    for i in range(len(ids)):
        h = _first(ids[i], table)
        while table[h] >= 0:
            h = (h + np.uint64(1)) & mask
        table[h] = i
    return table


@kernel
def _found(ids: Any, table: Any, wanted: Any) -> Any:
    """As `_halved`, for many."""
    mask, out = np.uint64(len(table) - 1), np.empty(len(wanted), np.int64)
    for i in range(len(wanted)):
        h = _first(wanted[i], table)
        while table[h] >= 0 and ids[table[h]] != wanted[i]:
            h = (h + np.uint64(1)) & mask
        out[i] = table[h]
    return out


def require_ascending(ids: U64, what: str) -> None:
    """Refuse ids that are not strictly ascending."""
    if (ids[1:] <= ids[:-1]).any():
        raise CorruptChunkError(f"{what}: ids are not strictly ascending; run its task again")
