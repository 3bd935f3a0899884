"""The ledger: rows between clusters while a graph contracts, four words of 64 bits each, half a cache line.

Word 0: both ends, 32 bits each, GONE when the row is no more. Word 1: bound (16 bits), numerator (48). Word 2:
denominator. Word 3: tie key. The score of a row is numerator / denominator,
larger first, then the tie key, lesser first. Scores are compared as integers: quotient, then remainders
cross-multiplied. A weight is at most 65535 and a count fits 32 bits, so nothing overflows.

The bound is at least the row's quotient: under it the row stands in the queue; 0 says "not there".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from emseg.tasks.arrays.kernel import kernel

WORDS = 4
ENDS, SCORE, COUNT, TIE = range(WORDS)
GONE = np.uint64(0xFFFFFFFFFFFFFFFF)
HALF, LOW_HALF = np.uint64(32), np.uint64(0xFFFFFFFF)
BOUND_AT, NUM = np.uint64(48), np.uint64(0xFFFFFFFFFFFF)

MEAN, MAX = 0, 1  # linkages; a quantile is its percent


@kernel
def ends_of(u: Any, v: Any) -> Any:
    """Word of a pair of ends, the same in either order."""
    low, high = (u, v) if u < v else (v, u)
    return np.uint64(low) << HALF | np.uint64(high)


@kernel
def low_end(ends: Any) -> Any:
    """Lesser cluster number of a pair."""
    return np.int64(ends >> HALF)


@kernel
def high_end(ends: Any) -> Any:
    """Greater cluster number of a pair."""
    return np.int64(ends & LOW_HALF)


@kernel
def num_of(rows: Any, r: Any) -> Any:
    """Numerator of row r."""
    return rows[r, SCORE] & NUM


@kernel
def den_of(rows: Any, r: Any) -> Any:
    """Denominator of row r."""
    return rows[r, COUNT]


@kernel
def bound_of(rows: Any, r: Any) -> Any:
    """Quotient under which row r stands in the queue."""
    return np.int64(rows[r, SCORE] >> BOUND_AT)


@kernel
def set_bound(rows: Any, r: Any, bound: Any) -> None:
    """Note where row r stands."""
    rows[r, SCORE] = (rows[r, SCORE] & NUM) | (np.uint64(bound) << BOUND_AT)


@kernel
def write(rows: Any, r: Any, ends: Any, num: Any, den: Any, tie: Any) -> None:
    """Fill row r, which stands nowhere yet."""
    rows[r, ENDS], rows[r, SCORE], rows[r, COUNT], rows[r, TIE] = ends, num, den, tie


@kernel
def before(num_a: Any, den_a: Any, tie_a: Any, num_b: Any, den_b: Any, tie_b: Any) -> Any:
    """Whether score a comes before score b; all uint64."""
    quotient_a, quotient_b = num_a // den_a, num_b // den_b
    if quotient_a != quotient_b:
        return quotient_a > quotient_b
    x, y = (num_a - quotient_a * den_a) * den_b, (num_b - quotient_b * den_b) * den_a
    if x != y:
        return x > y
    return tie_a < tie_b


@kernel
def better(rows: Any, r: Any, s: Any) -> Any:
    """Whether row r, not s, may speak in the queue for what both are together: its place there is early enough."""
    bound_r, bound_s = bound_of(rows, r), bound_of(rows, s)
    if bound_r != bound_s:
        return bound_r > bound_s
    return before(num_of(rows, r), den_of(rows, r), rows[r, TIE], num_of(rows, s), den_of(rows, s), rows[s, TIE])


@kernel
def combine(rows: Any, r: Any, num: Any, den: Any, tie: Any, linkage: int) -> Any:
    """Take a parallel row into row r; returns the denominator, which the row keeps only if it fits.

    The mean adds sums and counts and keeps the greater tie key; max keeps the better. A quantile keeps the greater tie
    key; its score comes from the pool.
    """
    if linkage == MAX:
        mine = num_of(rows, r)
        if num > mine or (num == mine and tie < rows[r, TIE]):
            rows[r, SCORE] = (rows[r, SCORE] & ~NUM) | num
            rows[r, TIE] = tie
        return den
    if linkage > MAX:
        rows[r, TIE] = max(rows[r, TIE], tie)
        return den
    total = den_of(rows, r) + den
    if total <= LOW_HALF:
        rows[r, SCORE] += num
        rows[r, COUNT] += den
        rows[r, TIE] = max(rows[r, TIE], tie)
    return total
