"""Rows of a ledger in strict order, where no row ever rises: one list a quotient, and a heap for the quotient in hand.

1. A merged row never scores better than its better part, so what is put in never comes before what was taken out.
2. A row stands in the list of a quotient that is at least its own (its bound). Its score may fall while it waits there;
   nobody moves it before its turn.
3. When a list's turn comes, its rows are looked at: gone, fallen (put further back, or out), or truly of this quotient;
   these enter a heap by remainder and tie key. A row that fell since it entered is found when it is popped. A row
   between two frozen clusters is left out: both only wait.
4. Where two rows become one, the one whose place is earlier stays in the queue (`ledger.better`). So every row has one
   place at most, and putting in and taking out cost a few steps.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from emseg.tasks.arrays.kernel import kernel
from emseg.tasks.arrays.ledger import ENDS, GONE, TIE, bound_of, den_of, high_end, low_end, num_of, set_bound
from emseg.tasks.arrays.weights import TOP

EMPTY = -1  # behind the last row of a list; what `pop` gives at the end
REST, DEN, KEY, ROW = range(4)  # of the heap
SIZE, HAND, LEAST, SEEN = range(4)  # of `at`


class Queue(NamedTuple):
    """Places of a ledger's rows.

    order: int32, rows that passed at the start, by falling quotient. start: int32[65537]: the list of quotient q goes
    from start[q + 1] to start[q]. fallen: int32[65536], the first of the rows that fell to a quotient; behind:
    int32[rows], the next one. heap: uint64[rows, 4]: remainder, denominator, tie key, row. at: int64[4]: rows on the
    heap, quotient in hand, least quotient wanted, a sum of what was read ahead.
    """

    order: Any
    start: Any
    fallen: Any
    behind: Any
    heap: Any
    at: Any


@kernel
def queue_of(rows: Any, least: int) -> Queue:
    """Queue of the rows whose quotient is at least `least`."""
    n, total = len(rows), 0
    start, fallen = np.zeros(TOP + 2, np.int32), np.full(TOP + 1, EMPTY, np.int32)
    for r in range(n):
        quotient = np.int64(num_of(rows, r) // den_of(rows, r))
        if quotient >= least:
            set_bound(rows, r, quotient)
            start[quotient + 1] += 1
    for after in range(TOP + 1, 0, -1):
        total += start[after]
        start[after] = total
    start[0], order = total, np.empty(total, np.int32)
    for r in range(n - 1, -1, -1):
        after = bound_of(rows, r) + 1
        if after > least:
            start[after] -= 1
            order[start[after]] = r
    at = np.array([0, TOP + 1, least, 0], np.int64)
    return Queue(order, start, fallen, np.empty(n, np.int32), np.empty((n + 1, 4), np.uint64), at)


@kernel
def pop(q: Queue, rows: Any, frozen: Any) -> Any:
    """Take out the first row; EMPTY when none is left. frozen: bool[clusters], which may only become true."""
    at, heap = q.at, q.heap
    while True:
        while at[SIZE] == 0:
            if not _next_list(q, rows, frozen):
                return EMPTY
        rest, den, tie, r = heap[0, REST], heap[0, DEN], heap[0, KEY], np.int64(heap[0, ROW])
        _drop_first(heap, at)
        if rows[r, ENDS] == GONE:
            continue
        if den_of(rows, r) == den and rows[r, TIE] == tie and num_of(rows, r) == rest + np.uint64(at[HAND]) * den:
            return r
        _put(rows, q.fallen, q.behind, heap, at, r)


@kernel
def _next_list(q: Queue, rows: Any, frozen: Any) -> Any:
    """Go on to the next list that is not empty and deal out its rows; False when there is none."""
    quotient = q.at[HAND] - 1
    while quotient >= q.at[LEAST]:
        begin, end = np.int64(q.start[quotient + 1]), np.int64(q.start[quotient])
        if begin < end or q.fallen[quotient] != EMPTY:
            q.at[HAND] = quotient
            _deal(rows, q.order[begin:end], q.fallen, q.behind, q.heap, q.at, frozen)
            return True
        quotient -= 1
    return False


@kernel
def _deal(rows: Any, listed: Any, fallen: Any, behind: Any, heap: Any, at: Any, frozen: Any) -> None:
    """Put the rows of the quotient in hand where they belong now. Reads them all first: no read waits for another."""
    seen, r = np.int64(0), np.int64(fallen[at[HAND]])
    for i in range(len(listed)):
        seen += np.int64(rows[listed[i], TIE])
    at[SEEN] += seen
    for i in range(len(listed)):
        _put_if_it_counts(rows, fallen, behind, heap, at, frozen, np.int64(listed[i]))
    while r != EMPTY:
        after = np.int64(behind[r])
        _put_if_it_counts(rows, fallen, behind, heap, at, frozen, r)
        r = after


@kernel
def _put_if_it_counts(rows: Any, fallen: Any, behind: Any, heap: Any, at: Any, frozen: Any, r: Any) -> None:
    ends = rows[r, ENDS]
    if ends != GONE and not (frozen[low_end(ends)] and frozen[high_end(ends)]):
        _put(rows, fallen, behind, heap, at, r)


@kernel
def _put(rows: Any, fallen: Any, behind: Any, heap: Any, at: Any, r: Any) -> None:
    """Put row r into its place: the heap, a list behind the one in hand, or none."""
    num, den = num_of(rows, r), den_of(rows, r)
    quotient = num // den
    place = np.int64(quotient)
    if place == at[HAND]:
        _rise(heap, at, num - quotient * den, den, rows[r, TIE], r)
        return
    if place < at[LEAST]:
        set_bound(rows, r, 0)
        return
    set_bound(rows, r, place)
    behind[r] = fallen[place]
    fallen[place] = r


@kernel
def _ahead(heap: Any, i: Any, j: Any) -> Any:
    """Whether entry i of the heap comes before entry j; remainders are less than their denominators."""
    x, y = heap[i, REST] * heap[j, DEN], heap[j, REST] * heap[i, DEN]
    return x > y or (x == y and heap[i, KEY] < heap[j, KEY])


@kernel
def _rise(heap: Any, at: Any, rest: Any, den: Any, tie: Any, r: Any) -> None:
    """Enter a row into the heap."""
    i = at[SIZE]
    at[SIZE] += 1
    heap[i, REST], heap[i, DEN], heap[i, KEY], heap[i, ROW] = rest, den, tie, np.uint64(r)
    while i > 0:
        up = (i - 1) >> 1
        if not _ahead(heap, i, up):
            break
        _swap(heap, i, up)
        i = up


@kernel
def _drop_first(heap: Any, at: Any) -> None:
    """Take the heap's first entry off."""
    at[SIZE] -= 1
    n, i = at[SIZE], 0
    _swap(heap, 0, n)
    while 2 * i + 1 < n:
        down = 2 * i + 1
        if down + 1 < n and _ahead(heap, down + 1, down):
            down += 1
        if not _ahead(heap, down, i):
            break
        _swap(heap, i, down)
        i = down


@kernel
def _swap(heap: Any, i: Any, j: Any) -> None:
    for k in range(4):
        heap[i, k], heap[j, k] = heap[j, k], heap[i, k]
