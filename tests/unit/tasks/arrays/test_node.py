"""A node refuses children and faces that do not fit together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from laws.volumes import random_case

from emseg.tasks.arrays.faces import FacePair
from emseg.tasks.arrays.forest import Up
from emseg.tasks.arrays.leaf import leaf
from emseg.tasks.arrays.node import node
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.arrays.sides import weights_box
from emseg.tasks.volume.bbox import BBox, Vec
from emseg.tasks.volume.errors import CorruptChunkError

RULES = Rules.of("0.3", "0.9", 40, "0.6")


def _family() -> tuple[list[tuple[Vec, Up]], FacePair]:
    """Two leaves side by side along x, and the pair of their faces."""
    case = random_case(0, 8, 9)
    middle = case.bbox.min[0] + 4
    cores = [
        BBox.of(case.bbox.min, (middle, *case.bbox.max[1:])),
        BBox.of((middle, *case.bbox.min[1:]), case.bbox.max),
    ]
    weights = [case.weights_CZYX[:, *weights_box(c, case.bbox).slices_ZYX(case.bbox.min)] for c in cores]
    low, high = (leaf(w, c, case.bbox, RULES) for w, c in zip(weights, cores, strict=True))
    return [((4, 0, 0), low.up), ((5, 0, 0), high.up)], FacePair(low.faces["x+"], high.faces["x-"], 0, cores[1].min)


def test_a_root_hands_nothing_up() -> None:
    """With no side open every exported cluster is settled, whole, and called by its least member."""
    children, pair = _family()
    result = node(children, [pair], RULES)
    assert all(column.size == 0 for column in result.up.columns().values())
    assert set(result.forest.cluster_to) <= set(result.forest.settled)
    exported = np.concatenate([up.part_voxels for _, up in children]).sum()
    assert result.forest.settled_voxels.sum() == exported
    assert (result.forest.cluster_to <= result.forest.cluster).all()


def test_a_face_that_is_not_given_stops_the_node() -> None:
    """A node that is shown no face between two children whose pieces lie on it does not guess."""
    children, _ = _family()
    with pytest.raises(CorruptChunkError, match="not given"):
        node(children, [], RULES)


def test_a_face_of_strangers_stops_the_node() -> None:
    """A face that names a piece which no child exports is refused."""
    children, pair = _family()
    ids = pair.lower.ids.copy()
    ids[-1] += np.uint64(1 << 60)
    with pytest.raises(CorruptChunkError, match="pieces of a node's children"):
        node(children, [replace(pair, lower=replace(pair.lower, ids=ids))], RULES)


def test_one_child_given_twice_stops_the_node() -> None:
    """Handles of different children never clash, so a clash is an error."""
    children, pair = _family()
    with pytest.raises(CorruptChunkError, match="ascending"):
        node([children[0], ((5, 0, 0), children[0][1])], [pair], RULES)


def test_a_row_of_strangers_stops_the_node() -> None:
    """A row that goes up between clusters without parts is refused."""
    children, pair = _family()
    low = children[0][1]
    bad = replace(low, a_u=low.a_u + np.uint64(1 << 60))
    with pytest.raises(CorruptChunkError, match="clusters of a node's children"):
        node([((4, 0, 0), bad), children[1]], [pair], RULES)


def test_a_row_of_a_siblings_cluster_stops_the_node() -> None:
    """A child that names a cluster of another child is refused: it cannot know it."""
    children, pair = _family()
    low, high = (up for _, up in children)
    bad = replace(low, a_u=np.full(len(low.a_u), high.part_cluster[0], np.uint64))
    assert len(low.a_u)
    with pytest.raises(CorruptChunkError, match="clusters of a node's children"):
        node([(children[0][0], bad), children[1]], [pair], RULES)


def test_children_may_come_in_any_order() -> None:
    """The forest follows the order of the children; what goes up or is settled does not depend on it."""
    children, pair = _family()
    one, other = (node(c, [pair], RULES).forest for c in (children, children[::-1]))
    assert one.settled.tolist() == other.settled.tolist()
    assert one.fragment_start[1] == len(children[0][1].fragment)
    assert other.fragment_start[1] == len(children[1][1].fragment)
    to = dict(zip(one.cluster.tolist(), one.cluster_to.tolist(), strict=True))
    assert dict(zip(other.cluster.tolist(), other.cluster_to.tolist(), strict=True)) == to
