"""Contact rows: what two touching clusters share, integers only; and the table in which rows are gathered.

last_edge is the greatest edge key of the contact, the tie key of the mean; best_edge the least key among the edges of
the greatest weight, the tie key of the size rule. Parallel rows: sums and counts add, last_edge is the greater,
best_edge that of the greater max (the least if equal).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
from numba import njit

from emseg.tasks.arrays.columns import I64, U16, U32, U64, Columns
from emseg.tasks.arrays.pairs import capacity, spot
from emseg.tasks.volume.errors import LimitError

COUNT_LIMIT = 0xFFFFFFFF


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

    def taken(self, which: np.ndarray) -> Rows:
        """Rows at an index array or under a mask."""
        return Rows(**{name: array[which] for name, array in self.columns().items()})


class Gathered(NamedTuple):
    """Growing table of rows, uint64 throughout; `used[0]` rows are in it."""

    table: Any
    ends: Any
    sum: Any
    count: Any
    max: Any
    last: Any
    best: Any
    used: Any


@njit(cache=True, nogil=True)
def gather(rows: int) -> Gathered:
    """Empty table with room for so many rows."""
    return Gathered(
        np.full(capacity(rows), -1, np.int32),
        np.empty(2 * rows, np.uint64),
        np.empty(rows, np.uint64),
        np.empty(rows, np.uint64),
        np.empty(rows, np.uint64),
        np.empty(rows, np.uint64),
        np.empty(rows, np.uint64),
        np.zeros(1, np.int64),
    )


@njit(cache=True, nogil=True)
def add(g: Gathered, u: Any, v: Any, total: Any, count: Any, top: Any, last: Any, best: Any) -> None:
    """Take one row (unordered pair u, v) into the table, which must have room."""
    at = spot(g.table, g.ends, u, v)
    r = g.table[at]
    if r < 0:
        r = g.used[0]
        g.used[0] += 1
        g.table[at] = r
        g.ends[2 * r], g.ends[2 * r + 1] = min(u, v), max(u, v)
        g.sum[r], g.count[r], g.max[r], g.last[r], g.best[r] = total, count, top, last, best
        return
    g.sum[r] += total
    g.count[r] += count
    g.last[r] = max(g.last[r], last)
    if top > g.max[r] or (top == g.max[r] and best < g.best[r]):
        g.max[r], g.best[r] = top, best


@njit(cache=True, nogil=True)
def roomy(g: Gathered) -> Any:
    """The same table, twice as large if it is full."""
    n = g.used[0]
    if n < len(g.sum):
        return g
    h = gather(2 * n)
    for r in range(n):
        add(h, g.ends[2 * r], g.ends[2 * r + 1], g.sum[r], g.count[r], g.max[r], g.last[r], g.best[r])
    return h


def sorted_rows(g: Gathered) -> Rows:
    """The table's rows by (u, v).

    Raises:
        LimitError: a contact of more than 2^32 - 1 voxel edges.
    """
    n = int(g.used[0])
    u, v, count = g.ends[0 : 2 * n : 2], g.ends[1 : 2 * n : 2], g.count[:n]
    if n and int(count.max()) > COUNT_LIMIT:
        raise LimitError(
            f"a contact has {int(count.max())} voxel edges, more than {COUNT_LIMIT}: mask the blob that has it"
        )
    o = np.lexsort((v, u))
    return Rows(
        u[o],
        v[o],
        g.sum[:n][o],
        count[o].astype(np.uint32),
        g.max[:n][o].astype(np.uint16),
        g.last[:n][o],
        g.best[:n][o],
    )


def renamed(rows: Rows, to: I64) -> Rows:
    """Rows of indices under new indices, parallel ones taken together, self rows gone."""
    return sorted_rows(_renamed(*rows.columns().values(), to))  # type: ignore[arg-type]


@njit(cache=True, nogil=True)
def _renamed(u: Any, v: Any, total: Any, count: Any, top: Any, last: Any, best: Any, to: Any) -> Any:
    g = gather(len(u) + 1)
    for r in range(len(u)):
        a, b = np.uint64(to[u[r]]), np.uint64(to[v[r]])
        if a != b:
            add(g, a, b, total[r], np.uint64(count[r]), np.uint64(top[r]), last[r], best[r])
    return g
