"""Sorted ids: looking them up, or saying which one is missing."""

from __future__ import annotations

from typing import Any

import numpy as np

from emseg.tasks.arrays.columns import I64, U64
from emseg.tasks.arrays.kernel import kernel
from emseg.tasks.volume.errors import CorruptChunkError

MIX = np.uint64(0x9E3779B97F4A7C15)
WORTH_HASHING = 1 << 10  # fewer are sought by halving


def index_of(ids: U64, wanted: U64, what: str) -> I64:
    """int64 index of each wanted id in ascending `ids`.

    Raises:
        CorruptChunkError: an id is not there; `what` says in which table it was sought.
    """
    at = index_or_none(ids, wanted)
    if (at < 0).any():
        missing = wanted[at < 0][0]
        raise CorruptChunkError(
            f"{what}: id {missing} is not listed; its task and its neighbours' disagree, run them again"
        )
    return at


def index_or_none(ids: U64, wanted: U64) -> I64:
    """int64 index of each wanted id in ascending `ids`, -1 if it is not there."""
    return _hashed(ids, wanted) if len(wanted) >= max(WORTH_HASHING, len(ids) // 2) else _halved(ids, wanted)


def _halved(ids: U64, wanted: U64) -> I64:
    at = np.searchsorted(ids, wanted)
    found = np.zeros(len(wanted), bool)
    inside = at < len(ids)
    found[inside] = ids[at[inside]] == wanted[inside]
    return np.where(found, at, -1).astype(np.int64)


@kernel
def _mixed(word: Any) -> Any:
    """Hash whose upper bits depend on all bits: ids of a plane are a regular lattice."""
    h = word * MIX
    return (h ^ (h >> np.uint64(32))) * MIX


@kernel
def _hashed(ids: Any, wanted: Any) -> Any:
    """As `_halved`, for many."""
    bits = 4
    while (1 << bits) < 2 * len(ids):
        bits += 1
    mask, shift = np.uint64((1 << bits) - 1), np.uint64(64 - bits)
    table, out = np.full(1 << bits, -1, np.int32), np.empty(len(wanted), np.int64)
    for i in range(len(ids)):
        h = _mixed(ids[i]) >> shift
        while table[h] >= 0:
            h = (h + np.uint64(1)) & mask
        table[h] = i
    for i in range(len(wanted)):
        h = _mixed(wanted[i]) >> shift
        while table[h] >= 0 and ids[table[h]] != wanted[i]:
            h = (h + np.uint64(1)) & mask
        out[i] = table[h]
    return out


def require_ascending(ids: U64, what: str) -> None:
    """Refuse ids that are not strictly ascending."""
    if (ids[1:] <= ids[:-1]).any():
        raise CorruptChunkError(f"{what}: ids are not strictly ascending; run its task again")
