"""Which neuron each voxel belongs to: the nearest centre line, distance over calibre, in space warped by smooth noise.

1. A brick is 16³ warp cells, on a lattice anchored at absolute 0; the warp is exact at cell corners, linear between.
2. Segments near the brick are pruned for blocks of 8³, 4³ and 2³ cells, then for each cell. A segment stays while it
   may be nearest, or within RIM of a border, anywhere in a ball round the warped corners.
3. Each voxel of the wanted box takes the nearest segment. The least difference of another neuron's score and its own,
   over the slope of that difference, is the distance to the membrane. All of it depends on the voxel and its brick
   only, so that a box can be cut anywhere.

Distances are in units of 10 nm.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from emseg.tasks.arrays.kernel import kernel
from emseg.tasks.arrays.neurites import ALONG, COLUMNS, F64, I64, INVERSE, MITO, START, U64, WEIGHT
from emseg.tasks.arrays.noise import keyed, smooth

CELLS, LEVELS = 16, 5
RIM, SOFT = 7.0, 1.0  # greatest distance to a membrane that is found, and outside a mitochondrion
_STREAM_WARP = 21
_WIDE_NM10, _WIDE_BY, _FINE_NM10, _FINE_BY = 80.0, 16.0, 24.0, 4.0
WARP_AT_MOST = _WIDE_BY + _FINE_BY
_FAR, _LANES = 1e18, 4
MARGIN, MITO_DEPTH, CORE = 0, 1, 2

F32 = npt.NDArray[np.float32]
F64x4 = tuple[float, float, float, float]


@kernel
def warped(seed: int, x: float, y: float, z: float, out: F64) -> None:
    """Write the warped place of a place (10 nm) to `out`."""
    out[0], out[1], out[2] = x, y, z
    for axis in range(3):
        wide, fine = keyed(seed, _STREAM_WARP + axis), keyed(seed, _STREAM_WARP + 3 + axis)
        out[axis] += _WIDE_BY * smooth(wide, x / _WIDE_NM10, y / _WIDE_NM10, z / _WIDE_NM10)
        out[axis] += _FINE_BY * smooth(fine, x / _FINE_NM10, y / _FINE_NM10, z / _FINE_NM10)


@kernel
def warp_corners(seed: int, brick: tuple[int, int, int], cell_vx: tuple[int, int, int], voxel: F64) -> F64:
    """Warped corners of a brick's cells, float64 [z, y, x, 3]; `voxel` is the voxel's size in 10 nm."""
    out = np.empty((CELLS + 1, CELLS + 1, CELLS + 1, 3))
    for k in range(CELLS + 1):
        for j in range(CELLS + 1):
            for i in range(CELLS + 1):
                x = (brick[0] * CELLS + i) * cell_vx[0] * voxel[0]
                y = (brick[1] * CELLS + j) * cell_vx[1] * voxel[1]
                z = (brick[2] * CELLS + k) * cell_vx[2] * voxel[2]
                warped(seed, x, y, z, out[k, j, i])
    return out


@kernel
def _hull(corners: F64, i: int, j: int, k: int, cells: int, centre: F64) -> float:
    """Centre (written) and radius of a ball round the warped corners of `cells`³ cells from i, j, k."""
    for axis in range(3):
        low = corners[k, j, i, axis] + corners[k + cells, j + cells, i + cells, axis]
        centre[axis] = 0.5 * low
    radius = 0.0
    for c in range(k, k + cells + 1):
        for b in range(j, j + cells + 1):
            for a in range(i, i + cells + 1):
                dx, dy, dz = (
                    corners[c, b, a, 0] - centre[0],
                    corners[c, b, a, 1] - centre[1],
                    corners[c, b, a, 2] - centre[2],
                )
                radius = max(radius, dx * dx + dy * dy + dz * dz)
    return math.sqrt(radius)


@kernel
def _bound(rows: F64, n: int, centre: F64, radius: float, out: F64) -> None:
    """Write distance from the centre, and least and greatest 1/calibre that the segment can show within the ball."""
    dx, dy, dz = centre[0] - rows[n, START], centre[1] - rows[n, START + 1], centre[2] - rows[n, START + 2]
    t = (dx * rows[n, ALONG] + dy * rows[n, ALONG + 1] + dz * rows[n, ALONG + 2]) * rows[n, INVERSE]
    t = min(1.0, max(0.0, t))
    dx, dy, dz = dx - t * rows[n, ALONG], dy - t * rows[n, ALONG + 1], dz - t * rows[n, ALONG + 2]
    a, b = rows[n, WEIGHT], rows[n, WEIGHT + 1]
    middle, slack = a + t * (b - a), abs(b - a) * radius * math.sqrt(rows[n, INVERSE])
    out[0] = math.sqrt(dx * dx + dy * dy + dz * dz)
    out[1] = max(min(a, b), middle - slack)
    out[2] = min(max(a, b), middle + slack)


@kernel
def _pruned(
    rows: F64, among: I64, count: int, centre: F64, radius: float, rim: float, organelles: bool, kept: I64, bounds: F64
) -> int:
    """Write to `kept` the segments that matter within a ball, to `bounds` their `_bound`; returns how many.

    With `organelles` those stay too whose mitochondrion may reach into the ball.
    """
    nearest, thinnest, more = _FAR, 0.0, 0
    for m in range(count):
        _bound(rows, among[m], centre, radius, bounds[m])
        nearest = min(nearest, (bounds[m, 0] + radius) * bounds[m, 2])
    for m in range(count):
        if (bounds[m, 0] - radius) * bounds[m, 1] <= nearest:
            thinnest = max(thinnest, bounds[m, 2])
    reach = nearest + rim * thinnest
    for m in range(count):
        wide = rows[among[m], MITO + 2] + SOFT if organelles else 0.0
        if (bounds[m, 0] - radius - rim) * bounds[m, 1] <= reach or (wide > SOFT and bounds[m, 0] - radius < wide):
            kept[more] = among[m]
            bounds[more] = bounds[m]
            more += 1
    return more


@kernel
def _mito_depth(near: F64, owners: U64, count: int, owner: np.uint64, x: float, y: float, z: float) -> float:
    """How deep inside a mitochondrion of its neuron a place lies (outside: down to −SOFT)."""
    deepest = -SOFT
    for n in range(count):
        radius = near[MITO + 2, n]
        if radius > 0.0 and owners[n] == owner:
            dx, dy, dz = x - near[0, n], y - near[1, n], z - near[2, n]
            t = (dx * near[3, n] + dy * near[4, n] + dz * near[5, n]) * near[INVERSE, n]
            t = min(near[MITO + 1, n], max(near[MITO, n], t))
            dx, dy, dz = dx - t * near[3, n], dy - t * near[4, n], dz - t * near[5, n]
            deepest = max(deepest, radius - math.sqrt(dx * dx + dy * dy + dz * dz))
    return deepest


@kernel
def _score(near: F64, count: int, x: float, y: float, z: float, scores: F64) -> None:
    """Squares of distance over calibre of a place to each segment; without a branch or a division,
    so that it compiles to vectors."""
    for n in range(count):
        dx, dy, dz = x - near[0, n], y - near[1, n], z - near[2, n]
        t = (dx * near[3, n] + dy * near[4, n] + dz * near[5, n]) * near[INVERSE, n]
        t = min(1.0, max(0.0, t))
        dx, dy, dz = dx - t * near[3, n], dy - t * near[4, n], dz - t * near[5, n]
        w = near[WEIGHT, n] + t * (near[WEIGHT + 1, n] - near[WEIGHT, n])
        scores[n] = (dx * dx + dy * dy + dz * dz) * (w * w)
    scores[count : count + _LANES - 1] = _FAR


@kernel
def _least(scores: F64, count: int) -> float:
    """Least of the scores, by four that do not wait for each other; there are _LANES − 1 more, all _FAR."""
    a = b = c = d = _FAR
    for n in range(0, count, _LANES):
        a = scores[n] if scores[n] < a else a
        b = scores[n + 1] if scores[n + 1] < b else b
        c = scores[n + 2] if scores[n + 2] < c else c
        d = scores[n + 3] if scores[n + 3] < d else d
    a, c = min(a, b), min(c, d)
    return min(a, c)


@kernel
def _index(scores: F64, count: int, value: float) -> int:
    for n in range(count):
        if scores[n] == value:
            return n
    return 0


@kernel
def _without(scores: F64, owners: U64, count: int, owner: np.uint64) -> None:
    """Put the segments of one neuron out of the running."""
    for n in range(count):
        scores[n] = _FAR if owners[n] == owner else scores[n]


@kernel
def _from_line(near: F64, n: int, x: float, y: float, z: float) -> F64x4:
    """Way from a segment's nearest point to a place (3), and the square of 1/calibre there."""
    dx, dy, dz = x - near[0, n], y - near[1, n], z - near[2, n]
    t = (dx * near[3, n] + dy * near[4, n] + dz * near[5, n]) * near[INVERSE, n]
    t = min(1.0, max(0.0, t))
    w = near[WEIGHT, n] + t * (near[WEIGHT + 1, n] - near[WEIGHT, n])
    return dx - t * near[3, n], dy - t * near[4, n], dz - t * near[5, n], w * w


@kernel
def _margin(
    near: F64, scores: F64, count: int, most: tuple[float, float], best: float, one: F64x4, x: float, y: float, z: float
) -> float:
    """Distance to the nearest membrane: the least, over the segments of other neurons, of the difference of their score
    and the best one (squares are given) over the slope of that difference. `most`: greatest distance that is asked,
    greatest weight of a segment; a slope is the sum of two weights at most."""
    least, thinnest = most
    s1, w1 = math.sqrt(best), math.sqrt(one[3])
    limit = (s1 + least * (w1 + thinnest)) ** 2
    for n in range(count):
        if scores[n] < limit:
            two = _from_line(near, n, x, y, z)
            s2 = math.sqrt(scores[n])
            along = one[0] * two[0] + one[1] * two[1] + one[2] * two[2]
            along *= one[3] * two[3] / max(s1 * s2, 1e-9)
            least = min(least, (s2 - s1) / math.sqrt(max(one[3] + two[3] - 2.0 * along, 1e-6)))
            limit = (s1 + least * (w1 + thinnest)) ** 2
    return least


@kernel
def _between(corners: F64, i: int, j: int, k: int, axis: int, fx: float, fy: float, fz: float) -> float:
    """Warped coordinate at fractions fx, fy, fz of cell i, j, k."""
    a = corners[k, j, i, axis] * (1.0 - fx) + corners[k, j, i + 1, axis] * fx
    b = corners[k, j + 1, i, axis] * (1.0 - fx) + corners[k, j + 1, i + 1, axis] * fx
    c = corners[k + 1, j, i, axis] * (1.0 - fx) + corners[k + 1, j, i + 1, axis] * fx
    d = corners[k + 1, j + 1, i, axis] * (1.0 - fx) + corners[k + 1, j + 1, i + 1, axis] * fx
    return float((a * (1.0 - fy) + b * fy) * (1.0 - fz) + (c * (1.0 - fy) + d * fy) * fz)


@kernel
def _cell(
    near: F64,
    owners: U64,
    count: int,
    scores: F64,
    rim: float,
    corners: F64,
    place: tuple[tuple[int, int, int], tuple[int, int, int]],
    window: I64,
    labels_ZYX: U64,
    planes_CZYX: F32,
) -> None:
    """Classify the voxels of one cell (`place`: its index and size) that lie in the window, within the brick.

    The nearest segment owns a voxel; then its neuron's are put aside, and the others give the margin.
    One loop without calls that pass arrays by the tuple: those would count references for every voxel.
    """
    (i, j, k), cell_vx = place
    thinnest = 0.0
    for n in range(count):
        thinnest = max(thinnest, near[WEIGHT, n], near[WEIGHT + 1, n])
    for z in range(max(k * cell_vx[2], window[2]), min((k + 1) * cell_vx[2], window[5])):
        fz = (z + 0.5) / cell_vx[2] - k
        for y in range(max(j * cell_vx[1], window[1]), min((j + 1) * cell_vx[1], window[4])):
            fy = (y + 0.5) / cell_vx[1] - j
            for x in range(max(i * cell_vx[0], window[0]), min((i + 1) * cell_vx[0], window[3])):
                fx = (x + 0.5) / cell_vx[0] - i
                px = _between(corners, i, j, k, 0, fx, fy, fz)
                py = _between(corners, i, j, k, 1, fx, fy, fz)
                pz = _between(corners, i, j, k, 2, fx, fy, fz)
                _score(near, count, px, py, pz, scores)
                best = _least(scores, count)
                first = _index(scores, count, best)
                owner, one = owners[first], _from_line(near, first, px, py, pz)
                _without(scores, owners, count, owner)
                margin = _margin(near, scores, count, (rim, thinnest), best, one, px, py, pz)
                a, b, c = z - window[2], y - window[1], x - window[0]
                labels_ZYX[a, b, c] = owner
                planes_CZYX[MARGIN, a, b, c] = margin
                if len(planes_CZYX) > 1:
                    planes_CZYX[MITO_DEPTH, a, b, c] = _mito_depth(near, owners, count, owner, px, py, pz)
                    planes_CZYX[CORE, a, b, c] = math.sqrt(best / one[3])


@kernel
def _unfolded(index: int) -> int:
    """Every third bit of a Morton index, put together."""
    out = 0
    for bit in range(4):
        out |= ((index >> (3 * bit)) & 1) << bit
    return out


@kernel
def _meets(cell: tuple[int, int, int], cells: int, cell_vx: tuple[int, int, int], window: I64) -> bool:
    for axis in range(3):
        low, high = cell[axis] * cell_vx[axis], (cell[axis] + cells) * cell_vx[axis]
        if high <= window[axis] or low >= window[3 + axis]:
            return False
    return True


@kernel
def classify(
    rows: F64,
    ids: U64,
    among: I64,
    corners: F64,
    cell_vx: tuple[int, int, int],
    window: I64,
    rim: float,
    labels_ZYX: U64,
    planes_CZYX: F32,
) -> None:
    """Fill labels (uint64) and planes (float32 [3]: margin, mitochondrion depth, distance to the centre line).

    Of the segments `rows` only those numbered in `among` (increasing) take part.
    Walks the brick's cells in Morton order and keeps one pruned list for each of the sizes 16, 8, 4, 2 and 1 cells.
    With one plane only the margin is found, and up to `rim` only, which is faster.
    """
    lists, counts = np.empty((LEVELS + 1, len(among)), np.int64), np.zeros(LEVELS + 1, np.int64)
    near, owners = np.empty((COLUMNS, len(among))), np.empty(len(among), np.uint64)
    scores = np.empty(len(among) + _LANES)
    bounds, centre = np.empty((len(among), 3)), np.empty(3)
    lists[0], counts[0] = among, len(among)
    index = 0
    while index < CELLS**3:
        cell = (_unfolded(index), _unfolded(index >> 1), _unfolded(index >> 2))
        inside, cells = True, CELLS
        for level in range(1, LEVELS + 1):
            cells = CELLS >> (level - 1)
            if index % cells**3 == 0:
                inside = _meets(cell, cells, cell_vx, window)
                if not inside:
                    break
                radius = _hull(corners, cell[0], cell[1], cell[2], cells, centre)
                above, count = lists[level - 1], counts[level - 1]
                counts[level] = _pruned(
                    rows, above, count, centre, radius, rim, len(planes_CZYX) > 1, lists[level], bounds
                )
        index += cells**3 if not inside else 1
        if inside:
            few = counts[LEVELS]
            for m in range(few):
                near[:, m], owners[m] = rows[lists[LEVELS, m]], ids[lists[LEVELS, m]]
            _cell(near, owners, few, scores, rim, corners, (cell, cell_vx), window, labels_ZYX, planes_CZYX)
