"""The merge tree: every two leaves that touch meet inside exactly one node."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.grid import tree_levels
from emseg.tasks.volume.tree import Tree, steps

trees = st.builds(
    lambda low, size: Tree(BBox.sized(low, size), (2, 3, 4)),
    st.tuples(*[st.integers(-9, 9)] * 3),
    st.tuples(*[st.integers(1, 16)] * 3),
)


@given(trees)
def test_every_face_is_met_once(tree):
    """Over all levels and nodes, each pair of touching leaves appears exactly once, with its axis."""
    levels = tree_levels(tree.leaves)
    met = [p for level in range(1, levels + 1) for i in tree.nodes(level).indices() for p in tree.pairs(level, i)]
    brute = set()
    for upper in tree.leaves.indices():
        for axis in range(3):
            if upper[axis]:
                lower = tuple(i - (a == axis) for a, i in enumerate(upper))
                brute.add((lower, upper, axis))
    assert len(met) == len(set(met))
    assert set(met) == brute


@given(trees, st.sampled_from([1, 2, 3]))
def test_faces_edges_and_corners_are_met_once(tree, axes):
    """Of all leaves that differ by 1 along up to 1, 2 or 3 axes, each two meet once: in the lowest node of both."""
    levels = tree_levels(tree.leaves)
    met = []
    for level in range(1, levels + 1):
        for index in tree.nodes(level).indices():
            for leaf, other, step in tree.meetings(level, index, axes):
                assert tuple(b - a for a, b in zip(leaf, other, strict=True)) == step
                for node in (leaf, other):
                    assert tuple(i >> level for i in node) == index
                assert tuple(i >> level - 1 for i in leaf) != tuple(i >> level - 1 for i in other)
                met.append(frozenset((leaf, other)))
    leaves = list(tree.leaves.indices())
    apart = {frozenset(p): [abs(a - b) for a, b in zip(*p, strict=True)] for p in itertools.combinations(leaves, 2)}
    brute = {pair for pair, by in apart.items() if max(by) == 1 and sum(by) <= axes}
    assert len(met) == len(set(met))
    assert set(met) == brute


def test_half_of_the_neighbours():
    """3, 9 or 13 steps, none the opposite of another, faces first."""
    assert steps(1) == [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
    assert [len(steps(axes)) for axes in (1, 2, 3)] == [3, 9, 13]
    every = steps(3)
    assert {*every} | {tuple(-s for s in step) for step in every} == {*itertools.product((-1, 0, 1), repeat=3)} - {
        (0, 0, 0)
    }


@given(trees, st.integers(1, 4))
def test_children_partition_the_level_below(tree, level):
    """Each node one level below is the child of exactly the node with its index halved."""
    below = [(i, c) for i in tree.nodes(level).indices() for c in tree.children(level, i)]
    assert sorted(c for _, c in below) == sorted(tree.nodes(level - 1).indices())
    assert all(i == tuple(x >> 1 for x in c) for i, c in below)


@given(trees, st.integers(0, 3))
def test_a_core_finds_its_node(tree, level):
    """The index of a node's own core is that node's."""
    assert all(tree.index(level, tree.nodes(level).core(i)) == i for i in tree.nodes(level).indices())
