"""Half rows: a row stands at both of its ends, under the partition of each. Parallel ones taken together; the best."""

from __future__ import annotations

from typing import Any

import numpy as np

from emseg.tasks.arrays.bundle import rows_of
from emseg.tasks.arrays.columns import I64, U64, Bool
from emseg.tasks.arrays.kernel import kernel
from emseg.tasks.arrays.ledger import before
from emseg.tasks.arrays.mail import MaxHalves, MeanHalves, PartList
from emseg.tasks.arrays.parts import FIRST_EDGE, FIRST_MAX
from emseg.tasks.arrays.rows import COUNT_LIMIT
from emseg.tasks.arrays.rules import Linkage
from emseg.tasks.arrays.weights import TOP
from emseg.tasks.volume.errors import LimitError


def run_starts(*keys: np.ndarray) -> Bool:
    """bool: whether a sorted row differs from the one before it."""
    out = np.ones(len(keys[0]), bool)
    out[1:] = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
    return out


def one_a_pair_max(halves: MaxHalves) -> MaxHalves:
    """By (at, other), the better of parallel rows; rows within one vertex vanish."""
    halves = rows_of(halves, halves.at != halves.other)
    halves = rows_of(halves, np.lexsort((halves.edge, TOP - halves.max.astype(np.int64), halves.other, halves.at)))
    return rows_of(halves, run_starts(halves.at, halves.other))


def one_a_pair_mean(halves: MeanHalves, linkage: Linkage) -> MeanHalves:
    """By (at, other), parallel rows as `ledger.combine` takes them together; rows within one vertex vanish.

    Raises:
        LimitError: a contact of more than 2^32 - 1 voxel edges.
    """
    halves = rows_of(halves, halves.at != halves.other)
    if linkage == "max":
        halves = rows_of(halves, np.lexsort((halves.edge, np.uint64(TOP) - halves.sum, halves.other, halves.at)))
        return rows_of(halves, run_starts(halves.at, halves.other))
    halves = rows_of(halves, np.lexsort((halves.other, halves.at)))
    start = np.flatnonzero(run_starts(halves.at, halves.other))
    if not len(start):
        return halves
    count = np.add.reduceat(halves.count.astype(np.uint64), start)
    if (most := int(count.max())) > COUNT_LIMIT:
        raise LimitError(f"a contact has {most} voxel edges, more than {COUNT_LIMIT}: mask the blob that has it")
    return MeanHalves(
        halves.at[start],
        halves.other[start],
        np.add.reduceat(halves.sum, start),
        count.astype(np.uint32),
        np.maximum.reduceat(halves.edge, start),
    )


def best_max(halves: MaxHalves) -> I64:
    """int64: of every vertex that has rows, ascending, the row that S takes first."""
    order = np.lexsort((halves.edge, TOP - halves.max.astype(np.int64), halves.at))
    return order[run_starts(halves.at[order])]


def best_mean(halves: MeanHalves, w_mean: int) -> I64:
    """int64: of every vertex with rows that pass the threshold, ascending, the row that A takes first."""
    passing = np.flatnonzero(halves.sum >= np.uint64(w_mean) * halves.count.astype(np.uint64))
    if not len(passing):
        return passing
    at, vertex = np.unique(halves.at[passing], return_inverse=True)
    best = np.full(len(at), -1, np.int64)
    _best(passing, vertex, halves.sum, halves.count.astype(np.uint64), halves.edge, best)
    return best


@kernel
def _best(rows: Any, vertex: Any, num: Any, den: Any, tie: Any, best: Any) -> None:
    for i in range(len(rows)):
        a, b = rows[i], best[vertex[i]]
        if b < 0 or before(num[a], den[a], tie[a], num[b], den[b], tie[b]):
            best[vertex[i]] = a


def before_keys(parts: PartList, top: np.ndarray, edge: U64) -> Bool:
    """bool: whether each part joined before its own key (top, edge)."""
    out: Bool = (parts.max > top) | ((parts.max == top) & (parts.edge < edge))
    return out


def one_a_key(parts: PartList) -> PartList:
    """By (at, key), parts that joined at one key added up."""
    parts = rows_of(parts, np.lexsort((parts.edge, TOP - parts.max.astype(np.int64), parts.at)))
    start = np.flatnonzero(run_starts(parts.at, parts.max, parts.edge))
    if not len(start):
        return parts
    return PartList(parts.at[start], parts.max[start], parts.edge[start], np.add.reduceat(parts.voxels, start))


def collapsed(parts: PartList, whole: Bool) -> PartList:
    """The parts in `whole` as if they were there from the start."""
    top, edge = np.where(whole, FIRST_MAX, parts.max), np.where(whole, FIRST_EDGE, parts.edge)
    return one_a_key(PartList(parts.at, top.astype(np.uint16), edge, parts.voxels))
