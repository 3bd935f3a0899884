"""Contact rows: what two touching clusters share, integers only; and the table in which rows are gathered.

last_edge is the greatest edge key of the contact, the tie key of the mean; best_edge the least key among the edges of
the greatest weight, the tie key of the size rule. Parallel rows: sums and counts add, last_edge is the greater,
best_edge that of the greater max (the least if equal).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np

from emseg.tasks.arrays.columns import U16, U32, U64, Columns, columns_of
from emseg.tasks.arrays.kernel import kernel
from emseg.tasks.arrays.order import order_of
from emseg.tasks.volume.errors import LimitError

COUNT_LIMIT = 0xFFFFFFFF
WIDTH = 5  # uint64 of one gathered row
PAIR, SUM, COUNT_MAX, LAST, BEST = range(WIDTH)  # u << 32 | v, u < v; ...; count << 16 | max
MAX_BITS = 16
MAX_MASK, ONE_EDGE = np.uint64((1 << MAX_BITS) - 1), np.uint64(1 << MAX_BITS)
GROWTH = 125  # percent


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
    """Growing table of rows between numbers below 2^32, taken edge by edge in ascending order of their keys.

    table: int32, a power of two, at most half full: row by pair, -1 where empty. rows: uint64, five a row. used:
    int64[1], rows filled.
    """

    table: Any
    rows: Any
    used: Any


def gather(rows: int) -> Gathered:
    """Empty table with room for so many rows."""
    return Gathered(np.full(_slots(rows), -1, np.int32), np.empty(WIDTH * rows, np.uint64), np.zeros(1, np.int64))


def _slots(rows: int) -> int:
    return 1 << (2 * rows - 1).bit_length()


@kernel
def lacks(g: Gathered, rows: Any) -> Any:
    """Whether the table has no room for so many more rows."""
    return WIDTH * (g.used[0] + rows) > len(g.rows)


def grown(g: Gathered, more: int) -> Gathered:
    """The same table with room for at least so many more rows; its rows stay where they are, g is no longer of use.

    It grows by little, in place, so that not much memory lies idle and no two copies stand side by side.
    """
    rows = (int(g.used[0]) + more) * GROWTH // 100
    g.rows.resize(WIDTH * rows, refcheck=False)
    if len(g.table) >= _slots(rows):
        return g
    wider = Gathered(np.full(_slots(rows), -1, np.int32), g.rows, g.used)
    _hash_all(wider)
    return wider


@kernel
def _hash_all(g: Gathered) -> None:
    for r in range(g.used[0]):
        g.table[_spot(g, g.rows[WIDTH * r + PAIR])] = r


@kernel
def _spot(g: Gathered, pair: Any) -> Any:
    """Place of a pair in the table, or the empty place where it belongs."""
    mask = len(g.table) - 1
    mixed = pair * np.uint64(0x9E3779B97F4A7C15)
    i = np.int64((mixed ^ (mixed >> np.uint64(32))) & np.uint64(mask))
    while g.table[i] >= 0 and g.rows[WIDTH * g.table[i] + PAIR] != pair:
        i = (i + 1) & mask
    return i


@kernel
def add(g: Gathered, u: Any, v: Any, weight: Any, edge: Any) -> None:
    """Take one voxel edge between u and v (all uint64) into the table, which must have room.

    Its key is greater than those of all edges before: so it is the row's last, and its best only if it weighs more.
    """
    pair = (min(u, v) << np.uint64(32)) | max(u, v)
    at = _spot(g, pair)
    if g.table[at] < 0:
        g.table[at] = g.used[0]
        row = g.rows[WIDTH * g.used[0] : WIDTH * (g.used[0] + 1)]
        g.used[0] += 1
        row[PAIR], row[SUM], row[COUNT_MAX], row[LAST], row[BEST] = pair, weight, ONE_EDGE | weight, edge, edge
        return
    r = WIDTH * np.int64(g.table[at])
    g.rows[r + SUM] += weight
    top = g.rows[r + COUNT_MAX] & MAX_MASK
    if weight > top:
        g.rows[r + COUNT_MAX] += weight - top
        g.rows[r + BEST] = edge
    g.rows[r + COUNT_MAX] += ONE_EDGE
    g.rows[r + LAST] = edge


def taken(g: Gathered) -> U64:
    """The rows so far, uint64[5 * rows], without the hash table that finds them."""
    filled: U64 = g.rows[: WIDTH * int(g.used[0])]
    return filled


def sorted_rows(rows: U64) -> Rows:
    """Rows that a table has taken, by (u, v).

    Raises:
        LimitError: a contact of more than 2^32 - 1 voxel edges.
    """
    n = len(rows) // WIDTH
    most = int(rows[COUNT_MAX::WIDTH].max(initial=0)) >> MAX_BITS
    if most > COUNT_LIMIT:
        raise LimitError(f"a contact has {most} voxel edges, more than {COUNT_LIMIT}: mask the blob that has it")
    out = Rows(*(np.empty(n, column.dtype) for column in columns_of(Rows).values()))
    _columns(rows, order_of(rows[PAIR::WIDTH].copy()), tuple(out.columns().values()))
    return out


@kernel
def _columns(rows: Any, order: Any, columns: Any) -> None:
    u, v, total, count, top, last, best = columns
    for i in range(len(order)):
        r = WIDTH * np.int64(order[i])
        u[i], v[i] = rows[r + PAIR] >> np.uint64(32), rows[r + PAIR] & np.uint64(0xFFFFFFFF)
        total[i], count[i] = rows[r + SUM], rows[r + COUNT_MAX] >> np.uint64(MAX_BITS)
        top[i], last[i], best[i] = rows[r + COUNT_MAX] & MAX_MASK, rows[r + LAST], rows[r + BEST]
