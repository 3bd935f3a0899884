"""The merge tree: every two leaves that touch meet inside exactly one node."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.grid import tree_levels
from emseg.tasks.volume.tree import Tree

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
