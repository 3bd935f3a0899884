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
from emseg.tasks.arrays.hashing import MIX, mixed
from emseg.tasks.arrays.kernel import kernel
from emseg.tasks.volume.errors import LimitError

COUNT_LIMIT = 0xFFFFFFFF
WIDTH = 5  # uint64 of one gathered row
PAIR, SUM, COUNT_MAX, LAST, BEST = range(WIDTH)  # u << 32 | v, u < v; ...; count << 16 | max
MAX_BITS = 16
MAX_MASK, ONE_EDGE = np.uint64((1 << MAX_BITS) - 1), np.uint64(1 << MAX_BITS)
GROWTH = 125  # percent
NEAR = 16  # slots of the table, a cache line of them, tried near those of like numbers before any other
NEAR_AT = np.uint64(60)  # upper bits of a hash that say which of them is the first


@dataclass(frozen=True)
class Rows(Columns):
    """Contact rows in the order of their first edges, u < v, each pair once; indices or ids, as the maker says."""

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
    """Growing table of rows between numbers, taken edge by edge in ascending order of their keys.

    Numbers ascend with the voxels that are named by them, and so do the slots of pairs by their greater number: most of
    those that are asked for are in the cache already.

    table: int32, a power of two, at most half full: row by pair, -1 where empty. rows: uint64, five a row. used:
    int64[1], rows filled. least: uint64, of all greater numbers. spread: uint64, slots a number, times 2^32.
    """

    table: Any
    rows: Any
    used: Any
    least: Any
    spread: Any


def gather(rows: int, most: int, least: int = 0) -> Gathered:
    """Empty table with room for so many rows whose greater numbers lie from `least` to `most`, both below 2^32."""
    table, room = np.full(_slots(rows), -1, np.int32), np.empty(WIDTH * rows, np.uint64)
    spread = np.uint64((len(table) << 32) // (most + 1 - least))
    return Gathered(table, room, np.zeros(1, np.int64), np.uint64(least), spread)


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
    table = np.full(_slots(rows), -1, np.int32)
    wider = Gathered(table, g.rows, g.used, g.least, g.spread * np.uint64(len(table) // len(g.table)))
    _hash_all(wider)
    return wider


@kernel
def _hash_all(g: Gathered) -> None:
    for r in range(g.used[0]):
        g.table[_spot(g, g.rows[WIDTH * r + PAIR])] = r


@kernel
def _spot(g: Gathered, pair: Any) -> Any:
    """Place of a pair in the table, or the empty place where it belongs: near its greater number's, else anywhere.

    The greater one, since whatever touches many, a blob, began before most of them.
    """
    mask, low, high = len(g.table) - 1, pair >> np.uint64(32), pair & np.uint64(0xFFFFFFFF)
    first = np.int64(((high - g.least) * g.spread >> np.uint64(32)) + (low * MIX >> NEAR_AT))
    for near in range(first, first + NEAR):
        r = np.int64(g.table[near & mask])
        if r < 0 or g.rows[WIDTH * r + PAIR] == pair:
            return near & mask
    h = mixed(pair)
    i, step = np.int64(h >> np.uint64(32)) & mask, np.int64(h & np.uint64(mask)) | 1  # odd: it comes by every slot
    while g.table[i] >= 0 and g.rows[WIDTH * g.table[i] + PAIR] != pair:
        i = (i + step) & mask
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


def as_columns(filled: U64) -> Rows:
    """Rows that a table has taken, as columns.

    Raises:
        LimitError: a contact of more than 2^32 - 1 voxel edges.
    """
    n = len(filled) // WIDTH
    most = int(filled[COUNT_MAX::WIDTH].max(initial=0)) >> MAX_BITS
    if most > COUNT_LIMIT:
        raise LimitError(f"a contact has {most} voxel edges, more than {COUNT_LIMIT}: mask the blob that has it")
    out = Rows(*(np.empty(n, column.dtype) for column in columns_of(Rows).values()))
    _columns(filled, tuple(out.columns().values()))
    return out


@kernel
def _columns(filled: Any, columns: Any) -> None:
    u, v, total, count, top, last, best = columns
    for i in range(len(u)):
        r = WIDTH * i
        u[i], v[i] = filled[r + PAIR] >> np.uint64(32), filled[r + PAIR] & np.uint64(0xFFFFFFFF)
        total[i], count[i] = filled[r + SUM], filled[r + COUNT_MAX] >> np.uint64(MAX_BITS)
        top[i], last[i], best[i] = filled[r + COUNT_MAX] & MAX_MASK, filled[r + LAST], filled[r + BEST]
