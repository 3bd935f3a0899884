"""The merge tree: every two leaves that touch meet inside exactly one node."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.tree import Tree, steps

trees = st.builds(
    lambda low, size, fan_out: Tree(BBox.sized(low, size), (2, 3, 4), fan_out),
    st.tuples(*[st.integers(-9, 9)] * 3),
    st.tuples(*[st.integers(1, 16)] * 3),
    st.integers(2, 4),
)


@given(trees)
def test_every_face_is_met_once(tree):
    """Over all levels and nodes, each pair of touching leaves appears exactly once, with its axis."""
    levels = tree.levels
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
    met = []
    for level in range(1, tree.levels + 1):
        side, below = tree.leaves_a_side(level), tree.leaves_a_side(level - 1)
        for index in tree.nodes(level).indices():
            for leaf, other, step in tree.meetings(level, index, axes):
                assert tuple(b - a for a, b in zip(leaf, other, strict=True)) == step
                for node in (leaf, other):
                    assert tuple(i // s for i, s in zip(node, side, strict=True)) == index
                children = [tuple(i // s for i, s in zip(node, below, strict=True)) for node in (leaf, other)]
                assert children[0] != children[1]
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


@given(trees, st.data())
def test_children_partition_the_level_below(tree, data):
    """Each node one level below is the child of exactly the node with its index divided by the level's factors."""
    level = data.draw(st.integers(1, tree.levels))
    below = [(i, c) for i in tree.nodes(level).indices() for c in tree.children(level, i)]
    assert sorted(c for _, c in below) == sorted(tree.nodes(level - 1).indices())
    assert all(i == tuple(x // f for x, f in zip(c, tree.factors[level - 1], strict=True)) for i, c in below)


@given(trees)
def test_one_root_holds_all(tree):
    """The last level is one node, the level below it is not, unless a leaf is all there is."""
    assert len(tree.nodes(tree.levels)) == 1
    assert len(tree.leaves) == 1 or len(tree.nodes(tree.levels - 1)) > 1


def test_the_longest_axis_is_joined_last():
    """Of a box of 16 x 8 x 4 leaves x alone is joined at the end, and a cube's last level is one axis a level."""
    flat = Tree(BBox.sized((0, 0, 0), (16, 8, 4)), (1, 1, 1))
    assert flat.factors == ((2, 2, 2), (2, 2, 2), (2, 2, 1), (2, 1, 1))
    cube = Tree(BBox.sized((0, 0, 0), (8, 7, 6)), (2, 2, 2))
    assert cube.factors == ((2, 2, 2), (1, 1, 2), (1, 2, 1), (2, 1, 1))


def test_nodes_of_flat_leaves_become_cubes_first():
    """Leaves a quarter as thick as wide are joined along z until they are cubes."""
    tree = Tree(BBox.sized((0, 0, 0), (64, 64, 32)), (8, 8, 2))
    assert tree.factors[:3] == ((1, 1, 2), (1, 1, 2), (2, 2, 2))


@given(trees, st.data())
def test_faces_of_a_node_are_its_leaves_low_side(tree, data):
    """Below a node, along an axis, lie the leaves that touch its leaves from outside."""
    level = data.draw(st.integers(1, tree.levels))
    side = tree.leaves_a_side(level)
    for index in tree.nodes(level).indices():
        for axis in range(3):
            brute = {
                (tuple(i - (a == axis) for a, i in enumerate(leaf)), leaf)
                for leaf in tree.leaves.indices()
                if tuple(i // s for i, s in zip(leaf, side, strict=True)) == index
                and leaf[axis] == index[axis] * side[axis] > 0
            }
            assert set(tree.faces(level, index, axis)) == brute


@given(trees, st.data())
def test_a_core_finds_its_node(tree, data):
    """The index of a node's own core is that node's."""
    level = data.draw(st.integers(0, tree.levels))
    assert all(tree.index(level, tree.nodes(level).core(i)) == i for i in tree.nodes(level).indices())
