"""Borders of a leaf: which there are, what is in them, and which voxels they lay on each other."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emseg.tasks.arrays.borders import Border, Meeting, borders, opposite, overlaps, packed, step_name, unpacked
from emseg.tasks.arrays.sides import SIDES, open_sides
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import CorruptChunkError
from emseg.tasks.volume.tree import steps

LABELS = np.random.default_rng(0).integers(0, 5, (3, 4, 5)).astype(np.uint32)
IDS = np.array([11, 22, 33, 44], np.uint64)


@pytest.mark.parametrize(("axes", "count"), [(1, 6), (2, 18), (3, 26)])
def test_an_inner_leaf_has_a_border_to_every_neighbour(axes: int, count: int) -> None:
    """6 planes, 12 lines and 8 voxels; the planes are called as the sides are."""
    names = set(borders(LABELS, IDS, 0b111111, axes))
    assert len(names) == count
    assert names >= set(SIDES)


@given(st.integers(0, 63))
def test_only_neighbours_that_are_there_have_a_border(mask: int) -> None:
    """An edge or a corner needs every side that it lies on to be open."""
    core = BBox.of((10, 10, 10), (12, 12, 12))
    low = [9 if mask >> 2 * axis & 1 else 10 for axis in range(3)]
    high = [13 if mask >> 2 * axis + 1 & 1 else 12 for axis in range(3)]
    assert open_sides(core, BBox.of(low, high)) == mask
    names = set(borders(LABELS, IDS, mask, 3))
    sides = {side for bit, side in enumerate(SIDES) if mask >> bit & 1}
    assert names & set(SIDES) == sides
    assert names == {n for n in borders(LABELS, IDS, 63, 3) if {n[i : i + 2] for i in range(0, len(n), 2)} <= sides}


def test_a_border_names_its_pieces() -> None:
    """The line between x+ and z- of a core, and the corner: their voxels by id."""
    named = np.concatenate([np.zeros(1, np.uint64), IDS])
    found = borders(LABELS, IDS, 0b111111, 3)
    for name, at in (("x+z-", np.s_[:1, :, -1:]), ("x-y+z+", np.s_[-1:, -1:, :1]), ("y-", np.s_[:, :1, :])):
        border = found[name]
        assert np.array_equal(np.concatenate([np.zeros(1, np.uint64), border.ids])[border.labels], named[LABELS[at]])


def test_many_borders_are_one_table() -> None:
    """What is packed is unpacked by name, also where one name begins with another; what is not there is refused."""
    found = borders(LABELS, IDS, 0b111111, 3)
    table = packed(found)
    for name, border in found.items():
        assert np.array_equal(unpacked(table, name).labels, border.labels)
        assert np.array_equal(unpacked(table, name).ids, border.ids)
    with pytest.raises(CorruptChunkError, match="is absent"):
        unpacked(packed({"x+": found["x+"]}), "x+y+")


@pytest.mark.parametrize(("axes", "step"), [(axes, step) for axes in (1, 2, 3) for step in steps(axes)])
def test_all_neighbours_across_a_meeting_are_laid_on_each_other(axes: int, step: tuple[int, int, int]) -> None:
    """By brute force over two boxes of voxels: exactly the pairs that differ by 1 along at most so many axes, once."""
    size = (2, 3, 4)
    lower = np.array(list(np.ndindex(size[::-1])))[:, ::-1].reshape(*size[::-1], 3)
    upper = lower + np.array(step) * size
    thin = tuple({-1: slice(0, 1), 0: slice(None), 1: slice(-1, None)}[s] for s in step[::-1])
    thick = tuple({1: slice(0, 1), 0: slice(None), -1: slice(-1, None)}[s] for s in step[::-1])
    met = []
    for below, over in overlaps(lower[thin].shape[:3], step, axes):
        pairs = zip(lower[thin][below].reshape(-1, 3), upper[thick][over].reshape(-1, 3), strict=True)
        met += [(tuple(a), tuple(b)) for a, b in pairs]
    every = itertools.product(map(tuple, lower.reshape(-1, 3)), map(tuple, upper.reshape(-1, 3)))
    brute = {
        (a, b) for a, b in every if np.abs(np.subtract(a, b)).max() == 1 and np.abs(np.subtract(a, b)).sum() <= axes
    }
    assert len(met) == len(set(met))
    assert set(met) == brute


def test_the_way_back() -> None:
    """The opposite of a step, and its name."""
    assert opposite((1, 0, -1)) == (-1, 0, 1)
    assert step_name((-1, 0, 1)) == "x-z+"


@pytest.mark.parametrize("what", ["shape", "label"])
def test_borders_that_do_not_fit_are_refused(what: str) -> None:
    """Another shape, or a label without an id, stops with the names of both leaves."""
    good = borders(LABELS, IDS, 0b111111, 1)
    labels = good["x+"].labels
    bad = Border(labels[1:], good["x+"].ids) if what == "shape" else Border(labels + np.uint32(9), good["x+"].ids)
    with pytest.raises(CorruptChunkError, match="leaves a and b"):
        Meeting(bad, good["x-"], (1, 0, 0), "leaves a and b").require_agreement()
