"""Sorted ids: looking them up, or saying which one is missing."""

from __future__ import annotations

import numpy as np

from emseg.tasks.arrays.columns import I64, U64
from emseg.tasks.volume.errors import CorruptChunkError


def index_of(ids: U64, wanted: U64, what: str) -> I64:
    """int64 index of each wanted id in ascending `ids`.

    Raises:
        CorruptChunkError: an id is not there; `what` says in which table it was sought.
    """
    at = np.searchsorted(ids, wanted)
    found = np.zeros(len(wanted), bool)
    inside = at < len(ids)
    found[inside] = ids[at[inside]] == wanted[inside]
    if not found.all():
        missing = wanted[~found][0]
        raise CorruptChunkError(
            f"{what}: id {missing} is not listed; its task and its neighbours' disagree, run them again"
        )
    return at.astype(np.int64)


def require_ascending(ids: U64, what: str) -> None:
    """Refuse ids that are not strictly ascending."""
    if (ids[1:] <= ids[:-1]).any():
        raise CorruptChunkError(f"{what}: ids are not strictly ascending; run its task again")
