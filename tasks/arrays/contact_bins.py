"""Histograms of contact rows from voxels: a second look at the edges, once their rows are known.

The rows say how many edges each has; so every edge's bin goes into the stretch of its row, a byte an edge, and each
stretch is counted.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from emseg.tasks.arrays.coded import Affinities, Run, run_of
from emseg.tasks.arrays.columns import I64, U8, U16, U32
from emseg.tasks.arrays.kernel import kernel
from emseg.tasks.arrays.order import order_of
from emseg.tasks.arrays.rows import Rows
from emseg.tasks.arrays.weight_bins import WeightBins
from emseg.tasks.arrays.weights import BIN_SHIFT, BINS


def contact_bins(rows: Rows, labels_ZYX: U32, affinities: Affinities, least: int) -> WeightBins:
    """Histograms of the rows that `contact_rows` finds.

    labels_ZYX: uint32 [z, y, x], 1..n; affinities: [3, z, y, x] over the same box; bins below `least` count as 0.
    """
    run, n = run_of(affinities), int(labels_ZYX.max(initial=0))
    start = np.concatenate([np.zeros(1, np.int64), np.cumsum(rows.count, dtype=np.int64)])
    order = order_of(rows.u, rows.v)
    first = np.searchsorted(rows.u[order], np.arange(n + 1, dtype=np.uint64))
    bins = np.empty(int(start[-1]), np.uint8)
    _put_bins(np.ascontiguousarray(labels_ZYX), run, first, rows.v[order], start[order], bins, least)
    return WeightBins(*_counted(start, bins))


@kernel
def _put_bins(labels: Any, run: Run, first: Any, other: Any, put: Any, bins: Any, least: int) -> None:
    """Write the bin of every edge where its row's next one belongs. Rows are in the order of their pairs.

    first: the first row of each lesser label.
    """
    depth, height, width = labels.shape
    flat = labels.reshape(-1)
    i = -1
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                i += 1
                here = flat[i]
                if here == 0:
                    continue
                for c in range(3):
                    if (x, y, z)[c] == 0:
                        continue
                    there = flat[i - (1, width, width * height)[c]]
                    if there == 0 or there == here:
                        continue
                    u, v = (here, there) if here < there else (there, here)
                    value = run.flat[c * run.step_c + z * run.step_z + y * run.step_y + x]
                    weight = np.int64(run.table[value]) if len(run.table) > 0 else np.int64(value)
                    r = _row(other, first[u - 1], first[u], np.uint64(v - 1))
                    bins[put[r]] = np.uint8(weight >> BIN_SHIFT) if weight >> BIN_SHIFT >= least else np.uint8(0)
                    put[r] += 1


@kernel
def _row(other: Any, low: Any, high: Any, v: Any) -> Any:
    """Row with this greater label among the rows of one lesser label; there is one."""
    while high - low > 1:
        middle = (low + high) >> 1
        if other[middle] <= v:
            low = middle
        else:
            high = middle
    return low


@kernel
def _counted(start: Any, bins: Any) -> Any:
    """Lengths, bins and counts of the rows whose edges' bins stand from start[r] to start[r + 1]."""
    length, count, seen = np.empty(len(start) - 1, np.uint16), np.empty(len(bins), np.uint32), np.zeros(BINS, np.uint32)
    put = 0
    for r in range(len(length)):
        low, high, begin = np.int64(BINS), np.int64(-1), put
        for i in range(start[r], start[r + 1]):
            at = np.int64(bins[i])
            seen[at] += np.uint32(1)
            low, high = min(low, at), max(high, at)
        for b in range(low, high + 1):
            if seen[b] > 0:
                bins[put], count[put] = b, seen[b]  # never ahead of what was read
                seen[b] = 0
                put += 1
        length[r] = put - begin
    return length, bins[:put].copy(), count[:put].copy()


def bins_across(rows: Rows, lower: I64, upper: I64, weights: U16, least: int) -> WeightBins:
    """Histograms of the rows that `rows_across` finds; arrays as there."""
    met = (lower >= 0) & (upper >= 0) & (lower != upper)
    a, b = lower[met].astype(np.uint64), upper[met].astype(np.uint64)
    half, order = np.uint64(32), order_of(rows.u, rows.v)
    pair = (rows.u << half | rows.v)[order]
    row = order[np.searchsorted(pair, np.minimum(a, b) << half | np.maximum(a, b))]
    bins = weights[met] >> BIN_SHIFT
    bins[bins < least] = 0
    code, count = np.unique(row << BIN_SHIFT | bins, return_counts=True)
    length: U16 = np.bincount(code >> BIN_SHIFT, minlength=len(rows)).astype(np.uint16)
    entry: U8 = (code & (BINS - 1)).astype(np.uint8)
    return WeightBins(length, entry, count.astype(np.uint32))
