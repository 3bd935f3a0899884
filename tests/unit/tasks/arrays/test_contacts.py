"""Contact rows against plain Python, inside a volume and across a plane."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from laws.volumes import random_case
from oracles.stitching import contact_rows as plain_rows
from oracles.stitching import voxel_edges

from emseg.tasks.arrays import contacts
from emseg.tasks.arrays.contacts import contact_rows, rows_across, unite_across
from emseg.tasks.arrays.rows import COUNT_MAX, MAX_BITS, NEAR, Gathered, Rows, as_columns, gather, grown, lacks, taken
from emseg.tasks.arrays.rows import add as add_row
from emseg.tasks.volume.bbox import BBox, Vec
from emseg.tasks.volume.errors import LimitError


def _labels(bbox: BBox, seed: int, values: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, values, bbox.shape_ZYX).astype(np.uint32)


def _plain(labels: np.ndarray, bbox: BBox, edges: list[Any]) -> dict[Any, Any]:
    def place(voxel: Vec) -> tuple[int, ...]:
        return tuple(v - o for v, o in zip(voxel[::-1], bbox.min[::-1], strict=True))

    names = {e: int(labels[place(e)]) - 1 for edge in edges for e in edge[2:] if labels[place(e)] > 0}
    rows = plain_rows(edges, names)
    return {pair: {name: value for name, value in row.items() if name != "weights"} for pair, row in rows.items()}


def _as_dict(rows: Rows) -> dict[Any, Any]:
    names = ("sum", "count", "max", "last", "best")
    return {
        (int(u), int(v)): dict(zip(names, map(int, row), strict=True))
        for u, v, *row in zip(*rows.columns().values(), strict=True)
    }


@pytest.mark.parametrize(("seed", "values"), [(0, 3), (1, 9), (2, 400)])
def test_rows_inside_a_volume(seed: int, values: int) -> None:
    """Few labels or a new one at almost every voxel: sum, count, max and both keys of every pair, as they are met."""
    case = random_case(seed)
    labels = _labels(case.bbox, seed, values)
    rows = contact_rows(labels, case.weights_CZYX, case.bbox)
    edges = sorted(voxel_edges(case.weights_CZYX, case.bbox, None), key=lambda edge: edge[1])
    expected = _plain(labels, case.bbox, edges)
    assert _as_dict(rows) == expected
    assert list(zip(rows.u.tolist(), rows.v.tolist(), strict=True)) == list(expected)
    assert all(u < v for u, v in expected)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_rows_across_a_plane(axis: int) -> None:
    """The rows across two planes are those of the edges that cross them, with their absolute keys."""
    case = random_case(7 + axis)
    labels = _labels(case.bbox, axis, 30)
    at = case.bbox.size[axis] // 2
    edges = [
        e
        for e in voxel_edges(case.weights_CZYX, case.bbox, None)
        if e[1] & 3 == axis and e[2][axis] == case.bbox.min[axis] + at
    ]
    lower, upper = (np.take(labels, i, 2 - axis).astype(np.int64) - 1 for i in (at - 1, at))
    origin = tuple(o + at * (a == axis) for a, o in enumerate(case.bbox.min))
    rows = rows_across(lower, upper, np.take(case.weights_CZYX[axis], at, 2 - axis), axis, origin)
    assert _as_dict(rows) == _plain(labels, case.bbox, edges)


def test_on_edges_unite_across_a_plane() -> None:
    """Only the ends of ON edges are joined, under the least index."""
    parent = np.arange(6, dtype=np.int64)
    lower, upper = np.array([[0, 1], [2, -1]]), np.array([[3, 4], [5, 0]])
    unite_across(lower, upper, np.array([[1, 0], [1, 0]], np.uint8), parent)
    assert parent.tolist() == [0, 1, 2, 0, 4, 2]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_index_beyond_32_bits_is_an_error(axis: int) -> None:
    """Two indices share 64 bits; more clusters than that are refused, never mixed up."""
    lower, upper = np.array([[0]]), np.array([[2**32]])
    with pytest.raises(LimitError, match="4294967296 clusters"):
        rows_across(lower, upper, np.ones((1, 1), np.uint16), axis, (0, 0, 0))


def test_a_contact_beyond_32_bits_is_an_error() -> None:
    """Counts that do not fit uint32 are refused, never wrapped."""
    g = gather(4, 6)
    add_row(g, *(np.uint64(i) for i in (3, 5, 9, 1)))
    g.rows[COUNT_MAX] += (2**32 - 1) << MAX_BITS
    with pytest.raises(LimitError, match="4294967296 voxel edges"):
        as_columns(taken(g))


def test_a_table_grows_without_loss() -> None:
    """More room, in the same hash table or a wider one, keeps every row and finds it again."""
    g, rows = gather(1, 71), {}
    for u in range(40):
        g = grown(g, 1) if lacks(g, 1) else g
        add_row(g, *(np.uint64(i) for i in (u, 70, u + 1, 2 * u)))
        rows[u, 70] = {"sum": u + 1, "count": 1, "max": u + 1, "last": 2 * u, "best": 2 * u}
    add_row(g, *(np.uint64(i) for i in (70, 3, 4, 80)))
    rows[3, 70] = {"sum": 8, "count": 2, "max": 4, "last": 80, "best": 6}
    assert _as_dict(as_columns(taken(g))) == rows


@pytest.mark.parametrize("numbers", [90, 5000, 2**32])
def test_who_touches_many_finds_each_again(numbers: int) -> None:
    """More rows of one number than there are slots near it stand elsewhere, and none is taken for another."""
    g, blob = gather(500, numbers - 1), 80
    for time in (1, 2):
        for n in range(89):
            if n != blob:
                add_row(g, *(np.uint64(i) for i in (blob, n, 3, 100 * time + n)))
    found = _as_dict(as_columns(taken(g)))
    assert set(found) == {(min(n, blob), max(n, blob)) for n in range(89) if n != blob}
    assert {(row["count"], row["sum"]) for row in found.values()} == {(2, 6)}
    assert all(
        row["last"] == 200 + sum(pair) - blob and row["best"] == row["last"] - 100 for pair, row in found.items()
    )


def test_rows_stand_near_their_greater_numbers_wherever_these_begin() -> None:
    """Across a face all greater numbers may be the last of very many: their rows have the whole table all the same."""
    rng, side, lowest = np.random.default_rng(0), 150, 1_000_000
    lower = rng.integers(0, lowest, (side, side))
    upper = lowest + np.arange(side * side).reshape(side, side) // 2
    made: list[Gathered] = []

    def noted(*arguments: Any) -> Gathered:
        made.append(gather(*arguments))
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contacts, "gather", noted)
        patch.setattr(contacts, "grown", lambda g, more: made.append(grown(g, more)) or made[-1])
        rows = rows_across(lower, upper, np.ones((side, side), np.uint16), 2, (0, 0, 0))
    g = made[-1]
    place = np.empty(len(rows), np.int64)
    place[g.table[g.table >= 0]] = np.flatnonzero(g.table >= 0)
    first = (rows.v - g.least) * g.spread >> np.uint64(32)
    assert len(rows) > 20_000
    assert np.mean((place - first.astype(np.int64)) % len(g.table) < 2 * NEAR) > 0.99
