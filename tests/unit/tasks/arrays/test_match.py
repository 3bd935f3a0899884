"""Two chunks compared: what joins, what is a conflict, and what is no evidence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emseg.tasks.arrays.instances import Slab
from emseg.tasks.arrays.match import CONTESTED, WEAK, Matched, match
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.codes import voxel_of
from emseg.tasks.volume.errors import CorruptChunkError

HALF = 32768
LOW, HIGH = 1000, 2000  # ids below and above are these plus the label


def line(*labels: int, known: int, base: int) -> Slab:
    """A slab of one line of voxels; labels above `known` are strangers."""
    ids = np.arange(base + 1, base + 1 + known, dtype=np.uint64)
    return Slab(np.array(labels, np.uint32)[None, None, :], ids)


def compared(below: list[int], above: list[int], *, known: tuple[int, int] = (9, 9), least: int = 1) -> Matched:
    """Both said of the same voxels, at x 5, y 6, z 7."""
    seam = BBox.sized((5, 6, 7), (len(below), 1, 1))
    return match(line(*below, known=known[0], base=LOW), line(*above, known=known[1], base=HIGH), seam, 0, least, HALF)


def joins(found: Matched) -> dict[tuple[int, int], int]:
    """(label below, label above) -> weight of the rows that the tree gets."""
    u, v = (face.ids[face.labels[0] - 1].astype(int) for face in (found.lower, found.upper))
    return {(a - LOW, b - HIGH): int(w) for a, b, w in zip(u, v, found.upper.weights[0], strict=True)}


def conflicts(found: Matched) -> dict[tuple[int, int], int]:
    """(label below, label above) -> reason."""
    c = found.conflicts
    return {(int(a) - LOW, int(b) - HIGH): int(r) for a, b, r in zip(c.lower, c.upper, c.reason, strict=True)}


def test_the_same_object_under_two_names_joins() -> None:
    """All that both label is shared, so the score is 1; voxels that only one labels do not count against it."""
    found = compared([1, 1, 1, 0, 2, 2], [7, 7, 0, 7, 4, 4])
    assert joins(found) == {(1, 7): 65535, (2, 4): 65535}
    assert conflicts(found) == {}
    assert found.lower.ids.tolist() == [LOW + i for i in range(1, 10)]


def test_a_merger_joins_with_one_of_two_and_tells_of_the_other() -> None:
    """One label above over two below: the larger part joins, the smaller is contested, nothing unites all three."""
    found = compared([1, 1, 1, 2, 2], [3, 3, 3, 3, 3])
    assert joins(found) == {(1, 3): 65535}
    assert conflicts(found) == {(2, 3): CONTESTED}
    assert voxel_of(int(found.conflicts.place[0])) == (5 + 4, 6, 7)
    sizes = (found.conflicts.voxels, found.conflicts.lower_voxels, found.conflicts.upper_voxels)
    assert [int(size[0]) for size in sizes] == [2, 2, 5]


def test_a_branch_joins_in_both_places() -> None:
    """One label below that passes the slab twice joins with two above: each connected part is judged for itself."""
    found = compared([1, 1, 0, 1, 1, 1], [4, 4, 0, 5, 5, 5])
    assert joins(found) == {(1, 4): 65535, (1, 5): 65535}
    assert conflicts(found) == {}


def test_the_best_partner_below_the_threshold_is_weak() -> None:
    """Mutual best, but each shares more with others than with each other: recorded, and its row does not pass."""
    found = match(
        _plane([[1, 1, 1, 1], [2, 2, 2, 2], [2, 3, 3, 3]], 3, LOW),
        _plane([[5, 5, 4, 4], [5, 5, 4, 4], [5, 5, 4, 4]], 5, HIGH),
        BBox.sized((0, 0, 0), (4, 3, 1)),
        1,
        1,
        HALF + 9999,
    )
    assert WEAK in conflicts(found).values()
    assert all(c not in joins(found) or joins(found)[c] < HALF + 9999 for c in conflicts(found))


def _plane(labels: list[list[int]], known: int, base: int) -> Slab:
    return Slab(np.array([labels], np.uint32), np.arange(base + 1, base + 1 + known, dtype=np.uint64))


def test_strangers_are_evidence_and_never_join() -> None:
    """A label without a core voxel takes no part, but what overlaps with it is not free to join another."""
    found = compared([1, 9, 9, 9], [3, 3, 3, 3], known=(1, 3))
    assert joins(found) == {}
    assert conflicts(found) == {(1, 3): CONTESTED}
    assert joins(compared([1, 1], [2, 2], known=(1, 1))) == {}


def test_few_voxels_are_no_evidence() -> None:
    """Below least_vx a pair is neither row nor conflict."""
    assert joins(compared([1, 1, 1], [2, 2, 2], least=4)) == {}
    assert joins(compared([1, 1, 1], [2, 2, 2], least=3)) == {(1, 2): 65535}


def test_slabs_that_do_not_fit_are_refused() -> None:
    """Leaves that saw other boxes stop the match."""
    with pytest.raises(CorruptChunkError, match="differ; run both leaves again"):
        compared([1, 1], [1, 1, 1])


def plain(below: np.ndarray, above: np.ndarray, least: int) -> set[tuple[int, int]]:
    """Joins of slabs whose labels are each one connected part, by counting voxel by voxel."""
    counts: dict[tuple[int, int], int] = {}
    for u, v in zip(below.ravel().tolist(), above.ravel().tolist(), strict=True):
        if u and v:
            counts[u, v] = counts.get((u, v), 0) + 1
    out = set()
    for (u, v), n in counts.items():
        best_v = min((w for w in counts if w[0] == u), key=lambda w: (-counts[w], w[1]))
        best_u = min((w for w in counts if w[1] == v), key=lambda w: (-counts[w], w[0]))
        if best_v == best_u == (u, v) and n >= least:
            out.add((u, v))
    return out


@given(st.lists(st.integers(0, 3), min_size=6, max_size=6), st.lists(st.integers(0, 3), min_size=6, max_size=6))
def test_joins_are_those_of_plain_counting(columns: list[int], rows: list[int]) -> None:
    """Over bands of labels along two directions, each made one part, the pairs are those found voxel by voxel."""
    below = np.sort(np.array(columns, np.uint32))[None, None, :].repeat(6, 1)
    above = np.sort(np.array(rows, np.uint32))[None, :, None].repeat(6, 2)
    ids = [np.arange(base + 1, base + 4, dtype=np.uint64) for base in (LOW, HIGH)]
    seam = BBox.sized((0, 0, 0), (6, 6, 1))
    found = match(Slab(below, ids[0]), Slab(above, ids[1]), seam, 2, 2, HALF)
    assert set(joins(found)) == plain(below, above, 2)
    mirrored = match(Slab(above, ids[1]), Slab(below, ids[0]), seam, 2, 2, HALF)
    assert len(mirrored.upper.labels[0]) == len(found.upper.labels[0])
