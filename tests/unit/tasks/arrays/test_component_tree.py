"""Leaf and node of connected components: what settles, what goes up, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from laws.component_sweeps import met

from emseg.tasks.arrays.borders import Meeting
from emseg.tasks.arrays.component_tree import ComponentLeaf, component_leaf, component_node
from emseg.tasks.volume.bbox import BBox, Vec
from emseg.tasks.volume.errors import CorruptChunkError
from emseg.tasks.volume.tree import Tree

BOX = BBox.sized((-4, 2, 0), (8, 4, 4))
TREE = Tree(BBox.sized((0, 0, 0), (2, 1, 1)), (1, 1, 1))


def _leaves(values_ZYX: np.ndarray) -> dict[Vec, ComponentLeaf]:
    """Two halves of BOX along x."""
    out = {}
    for x in range(2):
        core = BBox.sized((-4 + 4 * x, 2, 0), (4, 4, 4))
        out[x, 0, 0] = component_leaf(values_ZYX[core.slices_ZYX(BOX.min)], core, BOX, 26)
    return out


def _meetings(leaves: dict[Vec, ComponentLeaf]) -> Iterator[Meeting]:
    return met(TREE, leaves, 1, (0, 0, 0), 3)


def _children(leaves: dict[Vec, ComponentLeaf]) -> list[tuple[Vec, object]]:
    return [(index, leaf.up) for index, leaf in leaves.items()]


def _values() -> np.ndarray:
    values = np.zeros(BOX.shape_ZYX, np.uint16)
    values[0, 0, 1:7] = 3  # crosses the middle
    values[2, 2, 3], values[2, 3, 4] = 4, 5  # touch across it, but are two labels
    values[3, 3, 0] = 3  # settled in its leaf
    return values


def test_a_leaf_settles_what_touches_no_open_side() -> None:
    """One piece is settled with its voxels; two go up with side, label and voxels."""
    lower = _leaves(_values())[0, 0, 0]
    assert lower.forest.settled_voxels.tolist() == [1]
    assert (lower.up.value.tolist(), lower.up.voxels.tolist()) == ([3, 4], [3, 1])
    assert lower.up.piece_sides.tolist() == [2, 2]
    assert list(lower.borders) == ["x+"]


def test_a_node_joins_one_label_and_adds_voxels() -> None:
    """Both halves of label 3 settle as the lesser id with all voxels; labels that touch stay two; nothing goes up."""
    leaves = _leaves(_values())
    done = component_node(_children(leaves), _meetings(leaves), 26)
    assert len(done.up.piece) == len(done.up.component) == 0
    first = leaves[0, 0, 0].up.component[0]
    sizes = dict(zip(done.forest.settled.tolist(), done.forest.settled_voxels.tolist(), strict=True))
    assert sizes[int(first)] == 6
    assert sorted(sizes.values()) == [1, 1, 6]
    assert done.forest.cluster_start.tolist() == [0, 2, 4]


def test_voxels_are_never_lost() -> None:
    """Settled and exported voxels of leaves and node add up to the foreground."""
    values = np.random.default_rng(0).integers(0, 3, BOX.shape_ZYX).astype(np.uint8)
    leaves = _leaves(values)
    done = component_node(_children(leaves), _meetings(leaves), 26)
    total = done.forest.settled_voxels.sum() + sum(leaf.forest.settled_voxels.sum() for leaf in leaves.values())
    assert total == np.count_nonzero(values)


def test_a_face_that_was_not_given_is_refused() -> None:
    """A node that is not shown the border on which a piece lies stops and names the piece."""
    leaves = _leaves(_values())
    with pytest.raises(CorruptChunkError, match="was not given"):
        component_node(_children(leaves), [], 26)


@pytest.mark.parametrize("what", ["piece", "twice", "component"])
def test_exports_that_do_not_fit_are_refused(what: str) -> None:
    """A border that names a piece which nobody exports, one exported twice, and one whose component is missing."""
    leaves = _leaves(_values())
    up = leaves[0, 0, 0].up
    none = np.zeros(0, np.uint64)
    bad = {
        "piece": replace(up, piece=up.piece[:0], piece_component=none, piece_sides=up.piece_sides[:0]),
        "twice": replace(up, piece=up.piece[[0, 0]]),
        "component": replace(up, component=none, value=none, voxels=none),
    }[what]
    children = [((0, 0, 0), bad), ((1, 0, 0), leaves[1, 0, 0].up)]
    with pytest.raises(CorruptChunkError, match="node's children"):
        component_node(children, _meetings(leaves), 26)
