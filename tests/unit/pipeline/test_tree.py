"""The tiers of a tree and the layer below it."""

from __future__ import annotations

import pytest

from emseg.pipeline.tier import Need
from emseg.pipeline.tree import divisor, provisional_spec, tree_field
from emseg.pipeline.tree_tiers import down_tiers, up_tiers
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.grid import Grid
from emseg.tasks.volume.tree import Tree


@pytest.mark.parametrize("side", [1, 31, 40, 64, 131, 192, 251, 257, 1021])
def test_provisional_storage_chunks_fit_a_leaf_and_are_never_crumbs(side: int) -> None:
    """A leaf of any size, a prime too, is a whole number of storage chunks, each 32 voxels or the whole leaf a side."""
    chunk = divisor(side)
    assert side % chunk == 0
    assert chunk == side or 32 <= chunk <= 128


def test_the_tree_goes_up_to_one_node_and_down_again() -> None:
    """Three leaves a side are two levels; each tier needs the one before it, and the way down also its own forest."""
    tree = Tree(BBox.sized((5, 5, 5), (30, 20, 20)), (10, 10, 10))
    tiers = [*up_tiers(tree, Need("leaf"), "join", {"a": 1}), *down_tiers(tree, {"b": 2})]
    assert [t.name for t in tiers] == ["merge/L1", "merge/L2", "resolve/L2", "resolve/L1"]
    assert [[n.tier for n in t.needs] for t in tiers] == [
        ["leaf"],
        ["merge/L1"],
        ["merge/L2"],
        ["merge/L1", "resolve/L2"],
    ]
    assert [len(t.grid) for t in tiers] == [2, 1, 1, 2]
    assert [t.kind for t in tiers] == ["join", "join", "resolve", "resolve"]
    assert tiers[1].fields == {"a": 1, "level": 2}
    assert tiers[3].fields == {"b": 2, "level": 1, "levels": 2}


def test_provisional_labels_are_small_and_whole() -> None:
    """uint32, and no storage chunk belongs to two leaves."""
    spec = provisional_spec(Grid(BBox.sized((0, 0, 0), (100, 300, 7)), (64, 131, 256)), (4, 4, 40))
    assert (spec.dtype, spec.chunk_vx) == ("uint32", (64, 131, 7))


def test_tasks_are_told_the_tree() -> None:
    """The field of a tree reads back as the tree, overlaps too, and says nothing of overlaps where there are none."""
    box = BBox.sized((-3, 4, 9), (40, 40, 40))
    for tree in (Tree(box, (10, 10, 10), 3), Tree(box, (10, 10, 10), 2, (4, 0, 2))):
        assert Tree.of_json(tree_field(tree)) == tree
    assert "overlap_vx" not in tree_field(Tree(box, (10, 10, 10)))
