"""The pool: histograms of a ledger's rows while their graph contracts.

Every row has a slice. What two rows are together goes where one of their slices has room for it, else behind all
slices; where the pool ends, the slices of rows that are no more are left out. As many entries as at the start, and one
more histogram, always fit: together two rows never have more entries than apart.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from emseg.tasks.arrays.kernel import kernel
from emseg.tasks.arrays.ledger import ENDS, GONE, NUM, SCORE, ends_of, high_end, low_end
from emseg.tasks.arrays.pair_table import row_at, slot_of
from emseg.tasks.arrays.weights import BIN_WEIGHT, BINS


class Pool(NamedTuple):
    """Slices: bin and count from start[r], length[r] entries.

    start: int64[rows]. length: uint16[rows]. bin: uint8. count: uint32. used: int64[1]. both_bin: uint8[256],
    both_count: uint64[256]: two histograms taken together.
    """

    start: Any
    length: Any
    bin: Any
    count: Any
    used: Any
    both_bin: Any
    both_count: Any


@kernel
def pool_of(rows: Any, slots: Any, u: Any, v: Any, length: Any, bins: Any, count: Any, percent: int) -> Any:
    """Pool of a graph's rows from the histograms of the rows that it was made of; parallel ones added.

    Writes the rows' scores. Returns the pool, and the greatest number of edges met.
    """
    n, most = len(rows), np.uint64(0)
    start, room = np.zeros(n + 1, np.int64), np.zeros(n, np.int64)
    for i in range(len(u)):
        if u[i] != v[i]:
            room[row_at(slots, slot_of(slots, rows, ends_of(u[i], v[i])))] += length[i]
    for r in range(n):
        start[r + 1] = start[r] + min(room[r], BINS)
    capacity = start[n] + start[n] // 2 + BINS
    pool = Pool(
        start[:n],
        np.zeros(n, np.uint16),
        np.empty(capacity, np.uint8),
        np.empty(capacity, np.uint32),
        start[n:].copy(),
        np.empty(BINS, np.uint8),
        np.empty(BINS, np.uint64),
    )
    begin = np.int64(0)
    for i in range(len(u)):
        end = begin + length[i]
        if u[i] != v[i]:
            r = row_at(slots, slot_of(slots, rows, ends_of(u[i], v[i])))
            entries, edges = _together(pool, r, bins[begin:end], count[begin:end])
            _write(pool, r, pool.start[r], entries)
            _score(pool, rows, r, entries, edges, percent)
            most = max(most, edges)
        begin = end
    return pool, most


@kernel
def blend(pool: Pool, rows: Any, r: Any, s: Any, percent: int) -> Any:
    """Take the histogram of row s into that of row r, and write the score of both; returns their edges."""
    begin, length = pool.start[s], np.int64(pool.length[s])
    entries, edges = _together(pool, r, pool.bin[begin : begin + length], pool.count[begin : begin + length])
    place = pool.start[r]
    if entries > pool.length[r]:
        place = begin
        if entries > length:
            if pool.used[0] + entries > len(pool.bin):
                _leave_out_gone(pool, rows)
            place = pool.used[0]
            pool.used[0] += entries
    _write(pool, r, place, entries)
    _score(pool, rows, r, entries, edges, percent)
    return edges


@kernel
def _together(pool: Pool, r: Any, bins: Any, count: Any) -> Any:
    """Add a histogram to that of row r, beside the pool; returns the entries and edges of both."""
    i, end, j, n, edges = pool.start[r], pool.start[r] + np.int64(pool.length[r]), 0, 0, np.uint64(0)
    while i < end or j < len(bins):
        mine = np.int64(pool.bin[i]) if i < end else BINS
        theirs = np.int64(bins[j]) if j < len(bins) else BINS
        here = np.uint64(0)
        if mine <= theirs:
            here += np.uint64(pool.count[i])
            i += 1
        if theirs <= mine:
            here += np.uint64(count[j])
            j += 1
        pool.both_bin[n], pool.both_count[n] = min(mine, theirs), here
        edges += here
        n += 1
    return n, edges


@kernel
def _write(pool: Pool, r: Any, place: Any, entries: Any) -> None:
    """Let the slice of row r begin at a place, and fill it with what was added."""
    pool.start[r], pool.length[r] = place, entries
    for k in range(entries):
        pool.bin[place + k], pool.count[place + k] = pool.both_bin[k], pool.both_count[k]


@kernel
def _score(pool: Pool, rows: Any, r: Any, entries: Any, edges: Any, percent: int) -> None:
    """Write the weight of the bin in which the edge of rank percent * edges // 100 lies."""
    rank, seen, k = np.uint64(percent) * edges // np.uint64(100), pool.both_count[0], 0
    while seen <= rank and k < entries - 1:
        k += 1
        seen += pool.both_count[k]
    rows[r, SCORE] = (rows[r, SCORE] & ~NUM) | np.uint64(pool.both_bin[k]) * np.uint64(BIN_WEIGHT)


@kernel
def _leave_out_gone(pool: Pool, rows: Any) -> None:
    """Lay the slices of the rows that are left side by side."""
    total, put = np.int64(0), np.int64(0)
    for r in range(len(rows)):
        total += np.int64(pool.length[r]) if rows[r, ENDS] != GONE else 0
    bins, count = np.empty(total, np.uint8), np.empty(total, np.uint32)
    for r in range(len(rows)):
        if rows[r, ENDS] == GONE:
            continue
        begin, n = pool.start[r], np.int64(pool.length[r])
        bins[put : put + n], count[put : put + n] = pool.bin[begin : begin + n], pool.count[begin : begin + n]
        pool.start[r] = put
        put += n
    pool.bin[:put], pool.count[:put], pool.used[0] = bins, count, put


@kernel
def bins_between(pool: Pool, rows: Any, frozen: Any) -> Any:
    """Lengths, bins and counts of the rows whose ends are both frozen, in the order of the rows."""
    n, total, put = 0, np.int64(0), np.int64(0)
    for r in range(len(rows)):
        ends = rows[r, ENDS]
        if ends != GONE and frozen[low_end(ends)] and frozen[high_end(ends)]:
            n += 1
            total += np.int64(pool.length[r])
    length, bins, count = np.empty(n, np.uint16), np.empty(total, np.uint8), np.empty(total, np.uint32)
    n = 0
    for r in range(len(rows)):
        ends = rows[r, ENDS]
        if ends != GONE and frozen[low_end(ends)] and frozen[high_end(ends)]:
            begin, entries = pool.start[r], np.int64(pool.length[r])
            bins[put : put + entries] = pool.bin[begin : begin + entries]
            count[put : put + entries] = pool.count[begin : begin + entries]
            length[n] = entries
            put += entries
            n += 1
    return length, bins, count
