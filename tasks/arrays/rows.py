"""Contact rows: what two touching clusters share, integers only; and the table in which rows are gathered.

last_edge is the greatest edge key of the contact, the tie key of the mean; best_edge the least key among the edges of
the greatest weight, the tie key of the size rule. Parallel rows: sums and counts add, last_edge is the greater,
best_edge that of the greater max (the least if equal).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np

from emseg.tasks.arrays.columns import U16, U32, U64, Columns
from emseg.tasks.arrays.kernel import kernel
from emseg.tasks.arrays.pairs import capacity, spot
from emseg.tasks.volume.errors import LimitError

COUNT_LIMIT = 0xFFFFFFFF
WIDTH = 8  # uint64 of one gathered row: seven columns, one spare
U, V, SUM, COUNT, MAX, LAST, BEST = range(7)


@dataclass(frozen=True)
class Rows(Columns):
    """Contact rows sorted by (u, v), u < v, each pair once. u, v are indices or ids, as the maker says."""

    noun: ClassVar[str] = "contact rows"

    u: Annotated[U64, "row"]
    v: Annotated[U64, "row"]
    sum: Annotated[U64, "row"]
    count: Annotated[U32, "row"]
    max: Annotated[U16, "row"]
    last_edge: Annotated[U64, "row"]
    best_edge: Annotated[U64, "row"]

    def __len__(self) -> int:
        return len(self.u)


class Gathered(NamedTuple):
    """Growing table of rows: int32 `table` over uint64 [rows, 8] (one cache line a row), `used[0]` of them filled."""

    table: Any
    rows: Any
    used: Any


@kernel
def gather(rows: int) -> Gathered:
    """Empty table with room for so many rows."""
    return Gathered(np.full(capacity(rows), -1, np.int32), np.empty((rows, WIDTH), np.uint64), np.zeros(1, np.int64))


@kernel
def lacks(g: Gathered, rows: Any) -> Any:
    """Whether the table has no room for so many more rows. Ask seldom: growing inside a tight loop slows it 5 times."""
    return g.used[0] + rows > len(g.rows)


@kernel
def doubled(g: Gathered) -> Any:
    """The same rows in a table with room for twice as many."""
    h = gather(2 * len(g.rows))
    for r in range(g.used[0]):
        row = g.rows[r]
        add(h, row[U], row[V], row[SUM], row[COUNT], row[MAX], row[LAST], row[BEST])
    return h


@kernel
def add(g: Gathered, u: Any, v: Any, total: Any, count: Any, top: Any, last: Any, best: Any) -> None:
    """Take one row (unordered pair u, v; all uint64) into the table, which must have room."""
    at = spot(g.table, g.rows.reshape(-1), WIDTH, u, v)
    r = g.table[at]
    if r < 0:
        r = g.used[0]
        g.used[0] += 1
        g.table[at] = r
        g.rows[r, U], g.rows[r, V] = min(u, v), max(u, v)
        g.rows[r, SUM], g.rows[r, COUNT], g.rows[r, MAX] = total, count, top
        g.rows[r, LAST], g.rows[r, BEST] = last, best
        return
    g.rows[r, SUM] += total
    g.rows[r, COUNT] += count
    g.rows[r, LAST] = max(g.rows[r, LAST], last)
    if top > g.rows[r, MAX] or (top == g.rows[r, MAX] and best < g.rows[r, BEST]):
        g.rows[r, MAX], g.rows[r, BEST] = top, best


def sorted_rows(g: Gathered) -> Rows:
    """The table's rows by (u, v).

    Raises:
        LimitError: a contact of more than 2^32 - 1 voxel edges.
    """
    rows = g.rows[: int(g.used[0])]
    most = int(rows[:, COUNT].max(initial=0))
    if most > COUNT_LIMIT:
        raise LimitError(f"a contact has {most} voxel edges, more than {COUNT_LIMIT}: mask the blob that has it")
    u, v, total, count, top, last, best = rows[np.lexsort((rows[:, V], rows[:, U])), : BEST + 1].T.copy()
    return Rows(u, v, total, count.astype(np.uint32), top.astype(np.uint16), last, best)
