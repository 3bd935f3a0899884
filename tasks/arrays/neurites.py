"""Centre lines of neurons: trees that any chunk can grow anew, for they depend on nothing but (seed, cell, number).

Space (unit: 10 nm) is a lattice of cells of 256. Every cell roots a fixed number of neurons; a neuron is a tree of
short segments that starts both ways from its root, wanders, branches, and never goes further than REACH beyond its
cell. So the neurons near a place are those of the cells around it. Thick neurons carry spines: a thin neck with a head.

A segment is one row: A (3), B − A (3), 1/|B − A|² (1), 1/calibre at both ends (2), and its mitochondrion: from and to
as fractions of the length, radius (3; radius 0: none).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from emseg.tasks.arrays.kernel import kernel
from emseg.tasks.arrays.noise import hashed, keyed, normal, stirred, unit

F64 = npt.NDArray[np.float64]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

CELL, REACH, NEARBY = 256.0, 192.0, 64.0  # a neuron that comes no nearer than NEARBY to a brick is not asked
NEURONS, SEGMENTS, TIPS = 14, 96, 24
STEP, WANDER = 16.0, 0.42
SHARE_THICK, BRANCH_THICK, BRANCH_THIN, SPINE = 0.3, 0.06, 0.03, 0.3
MITO_STARTS, MITO_GOES_ON = 0.3, 0.6
COLUMNS = 12
START, ALONG, INVERSE, WEIGHT, MITO = 0, 3, 6, 7, 9
_STREAM_NEURON = 11
_NEXT = np.uint64(0x9E3779B97F4A7C15)
_CELL_BITS, _NUMBER_BITS, _CELL_ZERO = 18, 8, 1 << 17


@kernel
def neuron_id(cell_x: int, cell_y: int, cell_z: int, number: int) -> np.uint64:
    """Id of a neuron: its cell (18 bits an axis) and its number there; never below 2^26."""
    x, y, z = np.uint64(cell_x + _CELL_ZERO), np.uint64(cell_y + _CELL_ZERO), np.uint64(cell_z + _CELL_ZERO)
    bits = np.uint64(_CELL_BITS)
    code = (((z << bits) | y) << bits) | x
    return np.uint64((code << np.uint64(_NUMBER_BITS)) | np.uint64(number))


@kernel
def _turned(direction: F64, bits: np.uint64, amount: float) -> np.uint64:
    """Bend a unit vector at random; returns fresh bits."""
    length = 0.0
    for axis in range(3):
        bits = stirred(bits + _NEXT)
        direction[axis] += amount * normal(bits)
        length += direction[axis] * direction[axis]
    length = math.sqrt(length) + 1e-9
    for axis in range(3):
        direction[axis] /= length
    return bits


@kernel
def _kept_near(place: F64, direction: F64, corner: F64) -> None:
    """Turn a direction back where it would leave the neuron's domain."""
    for axis in range(3):
        if place[axis] < corner[axis] - REACH + 2 * STEP:
            direction[axis] = abs(direction[axis])
        elif place[axis] > corner[axis] + CELL + REACH - 2 * STEP:
            direction[axis] = -abs(direction[axis])


@kernel
def _put(rows: F64, n: int, start: F64, direction: F64, length: float, calibre_0: float, calibre_1: float) -> None:
    """Write segment n and move `start` to its end."""
    for axis in range(3):
        rows[n, START + axis] = start[axis]
        rows[n, ALONG + axis] = direction[axis] * length
        start[axis] += direction[axis] * length
    rows[n, INVERSE] = 1.0 / (length * length)
    rows[n, WEIGHT], rows[n, WEIGHT + 1] = 1.0 / calibre_0, 1.0 / calibre_1
    rows[n, MITO], rows[n, MITO + 1], rows[n, MITO + 2] = 0.3, 0.7, 0.0


@kernel
def _spine(rows: F64, n: int, start: F64, direction: F64, bits: np.uint64) -> int:
    """Grow a spine sideways: neck and head; returns the number of segments."""
    place, side = start.copy(), direction.copy()
    bits = _turned(side, bits, 1.5)
    _put(rows, n, place, side, 10.0 + 10.0 * unit(bits), 0.6, 0.5)
    _put(rows, n + 1, place, side, 6.0, 0.6, 1.0)
    return n + 2


@kernel
def _mitochondrion(rows: F64, n: int, parent: int, bits: np.uint64) -> None:
    """Start a mitochondrion in segment n, or carry on the parent's."""
    if parent >= 0 and rows[parent, MITO + 2] > 0:
        if unit(bits) < MITO_GOES_ON:
            rows[parent, MITO + 1] = 1.0
            rows[n, MITO], rows[n, MITO + 2] = 0.0, rows[parent, MITO + 2]
    elif unit(bits) < MITO_STARTS:
        rows[n, MITO + 2] = (9.0 + 9.0 * unit(stirred(bits))) / rows[n, WEIGHT]


@kernel
def rooted(place: F64, key: np.uint64, cell: tuple[int, int, int], number: int) -> np.uint64:
    """Write the root of a neuron to `place`; returns the neuron's bits."""
    bits = hashed(stirred(key + np.uint64(number)), cell[0], cell[1], cell[2])
    for axis in range(3):
        bits = stirred(bits + _NEXT)
        place[axis] = (cell[axis] + unit(bits)) * CELL
    return np.uint64(bits)


@kernel
def grown(rows: F64, key: np.uint64, cell: tuple[int, int, int], number: int) -> int:
    """Grow one neuron into `rows` (float64 [≥ SEGMENTS, COLUMNS]); returns how many segments it has."""
    place, direction = np.empty((TIPS, 3)), np.zeros((TIPS, 3))
    calibre, parent = np.empty(TIPS), np.full(TIPS, -1)
    corner = np.array([cell[0] * CELL, cell[1] * CELL, cell[2] * CELL])
    bits = rooted(place[0], key, cell, number)
    place[1] = place[0]
    thick = unit(stirred(bits + np.uint64(1))) < SHARE_THICK
    bits = _turned(direction[0], bits, 1.0)
    direction[1] = -direction[0]
    calibre[0] = calibre[1] = 1.35 if thick else 0.75 + 0.3 * unit(bits)
    tips, n, turn = 2, 0, 0
    while n < SEGMENTS - 2:
        tip = turn % tips
        turn += 1
        bits = _turned(direction[tip], bits, WANDER)
        _kept_near(place[tip], direction[tip], corner)
        thickness = calibre[tip] * (0.85 + 0.3 * unit(stirred(bits)))
        before = 1.0 / rows[parent[tip], WEIGHT + 1] if parent[tip] >= 0 else calibre[tip]
        _put(rows, n, place[tip], direction[tip], STEP * (0.75 + 0.5 * unit(bits)), before, thickness)
        bits = stirred(bits + _NEXT)
        _mitochondrion(rows, n, parent[tip], bits)
        parent[tip] = n
        n += 1
        bits = stirred(bits + _NEXT)
        if tips < TIPS and unit(bits) < (BRANCH_THICK if thick else BRANCH_THIN):
            place[tips], direction[tips] = place[tip], direction[tip]
            bits = _turned(direction[tips], bits, 0.8)
            calibre[tip], calibre[tips], parent[tips] = calibre[tip] * 0.93, calibre[tip] * 0.85, -1
            tips += 1
        elif thick and unit(bits) > 1.0 - SPINE and n < SEGMENTS - 2:
            n = _spine(rows, n, place[tip], direction[tip], bits)
    return n


@kernel
def cells_near(low: F64, high: F64) -> I64:
    """First and one past the last cell (int64 [2, 3]) whose neurons can come within NEARBY of a box (10 nm)."""
    cells = np.empty((2, 3), np.int64)
    for axis in range(3):
        cells[0, axis] = math.floor((low[axis] - REACH - NEARBY) / CELL)
        cells[1, axis] = math.floor((high[axis] + REACH + NEARBY) / CELL) + 1
    return cells


@kernel
def neurites_of(seed: int, cells: I64) -> tuple[F64, U64, I64]:
    """Grow the neurons of a box of cells, in the order of z, y, x, number.

    Returns:
        Segments (float64 [n, COLUMNS]), their ids (uint64 [n]), and where each cell starts (int64 [cells + 1]).
    """
    key = keyed(seed, _STREAM_NEURON)
    count = (cells[1, 0] - cells[0, 0]) * (cells[1, 1] - cells[0, 1]) * (cells[1, 2] - cells[0, 2])
    rows, ids = np.empty((count * NEURONS * SEGMENTS, COLUMNS)), np.empty(count * NEURONS * SEGMENTS, np.uint64)
    starts, cell, n = np.zeros(count + 1, np.int64), 0, 0
    for z in range(cells[0, 2], cells[1, 2]):
        for y in range(cells[0, 1], cells[1, 1]):
            for x in range(cells[0, 0], cells[1, 0]):
                for number in range(NEURONS):
                    more = grown(rows[n:], key, (x, y, z), number)
                    ids[n : n + more] = neuron_id(x, y, z, number)
                    n += more
                cell += 1
                starts[cell] = n
    return rows[:n], ids[:n], starts


@kernel
def chosen(starts: I64, cells: I64, part: I64) -> I64:
    """Numbers of the segments of a part of the cells, in their order."""
    out, n = np.empty(starts[-1], np.int64), 0
    wide, deep = cells[1, 0] - cells[0, 0], cells[1, 1] - cells[0, 1]
    for z in range(part[0, 2], part[1, 2]):
        for y in range(part[0, 1], part[1, 1]):
            for x in range(part[0, 0], part[1, 0]):
                cell = ((z - cells[0, 2]) * deep + y - cells[0, 1]) * wide + x - cells[0, 0]
                for segment in range(starts[cell], starts[cell + 1]):
                    out[n] = segment
                    n += 1
    return out[:n]
