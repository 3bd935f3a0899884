"""Rows in strict order: an indexed binary heap over exact scores.

The score of row r is num / den, larger first, then tie, lesser first. Scores are compared as integers: quotient, then
remainders cross-multiplied (den < 2^32, so a product of remainder and den fits uint64).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from emseg.tasks.arrays.kernel import kernel


class Queue(NamedTuple):
    """Scores of all rows, and the heap of those that wait their turn.

    num, den, tie, quotient: uint64[rows]. heap: int32[rows], the first size[0] are row numbers. place: int32[rows],
    where a row stands in the heap, -1 if it does not.
    """

    num: Any
    den: Any
    tie: Any
    quotient: Any
    heap: Any
    place: Any
    size: Any


@kernel
def queue_of(num: Any, den: Any, tie: Any) -> Queue:
    """Queue with these scores and an empty heap; the score arrays become its own."""
    n = len(num)
    return Queue(num, den, tie, num // den, np.empty(n, np.int32), np.full(n, -1, np.int32), np.zeros(1, np.int64))


@kernel
def before(q: Queue, a: Any, b: Any) -> Any:
    """Whether row a comes before row b."""
    if q.quotient[a] != q.quotient[b]:
        return q.quotient[a] > q.quotient[b]
    x = (q.num[a] - q.quotient[a] * q.den[a]) * q.den[b]
    y = (q.num[b] - q.quotient[b] * q.den[b]) * q.den[a]
    if x != y:
        return x > y
    return q.tie[a] < q.tie[b]


@kernel
def rise(q: Queue, i: Any) -> None:
    """Move the row at place i towards the front as far as it must."""
    r = q.heap[i]
    while i > 0:
        up = (i - 1) >> 1
        s = q.heap[up]
        if not before(q, r, s):
            break
        q.heap[i] = s
        q.place[s] = i
        i = up
    q.heap[i] = r
    q.place[r] = i


@kernel
def sink(q: Queue, i: Any) -> None:
    """Move the row at place i towards the back as far as it must."""
    r, n = q.heap[i], q.size[0]
    while 2 * i + 1 < n:
        down = 2 * i + 1
        if down + 1 < n and before(q, q.heap[down + 1], q.heap[down]):
            down += 1
        s = q.heap[down]
        if not before(q, s, r):
            break
        q.heap[i] = s
        q.place[s] = i
        i = down
    q.heap[i] = r
    q.place[r] = i


@kernel
def fill(q: Queue, rows: Any) -> None:
    """Put rows 0..rows-1 onto the empty heap."""
    for r in range(rows):
        q.heap[r] = r
        q.place[r] = r
    q.size[0] = rows
    for i in range(rows // 2 - 1, -1, -1):
        sink(q, i)


@kernel
def remove(q: Queue, r: Any) -> None:
    """Take row r off the heap, if it is there."""
    i = q.place[r]
    if i < 0:
        return
    q.place[r] = -1
    q.size[0] -= 1
    n = q.size[0]
    if i == n:
        return
    s = q.heap[n]
    q.heap[i] = s
    q.place[s] = i
    moved(q, s)


@kernel
def moved(q: Queue, r: Any) -> None:
    """Find row r its place again after its score changed, if it is on the heap."""
    if q.place[r] >= 0:
        rise(q, q.place[r])
        sink(q, q.place[r])


@kernel
def pop(q: Queue) -> Any:
    """Take off and return the first row."""
    r = q.heap[0]
    remove(q, r)
    return r
