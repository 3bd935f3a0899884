"""What nodes of the tree will need, and where rounds begin."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emseg.pipeline.config import MergeStage, Rounds
from emseg.pipeline.costs import Price, _tree
from emseg.pipeline.node_memory import ALONE_BYTES, NODE_FACTOR, level_bytes, node_bytes, rounds_of, table_bytes
from emseg.pipeline.tier import Need
from emseg.pipeline.tree_tiers import down_tiers, up_tiers
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import ConfigError
from emseg.tasks.volume.tree import Tree

CUBE = Tree(BBox.sized((-3, 4, 9), (2048, 2048, 2048)), (256, 256, 256))


@given(st.tuples(*[st.integers(1, 40)] * 3), st.tuples(*[st.integers(2, 9)] * 3))
def test_all_of_a_level_is_the_sum_of_its_nodes(size, chunk_vx):
    """Arithmetic on planes gives what adding up every node gives, without visiting them."""
    tree = Tree(BBox.sized((1, -2, 3), size), chunk_vx)
    for level in range(1, tree.levels + 1):
        nodes = tree.nodes(level)
        brute = NODE_FACTOR * sum(table_bytes(nodes.core(i), tree.bbox) for i in nodes.indices())
        assert level_bytes(tree, level) == pytest.approx(brute, abs=NODE_FACTOR * len(nodes) + 1)


def test_a_node_in_the_middle_holds_eight_open_children() -> None:
    """Of 8 x 8 x 8 leaves the first level is estimated by eight cubes with all sides open."""
    assert node_bytes(CUBE, 1) == math.ceil(NODE_FACTOR * 8 * table_bytes(CUBE.leaves.core((3, 3, 3)), CUBE.bbox))
    assert table_bytes(CUBE.bbox, CUBE.bbox) == 0


def test_a_tree_that_fits_has_a_root() -> None:
    """With memory enough no round is planned."""
    assert rounds_of(CUBE, MergeStage()) is None
    assert not [t for t in up_tiers(CUBE, Need("fragment"), "merge", {}, None) if t.kind == "round"]


def test_rounds_begin_above_the_last_level_that_fits() -> None:
    """The budget decides the level; the partitions are as many as their share of the rest needs."""
    merge = MergeStage(node_bytes=node_bytes(CUBE, 1))
    rounds = rounds_of(CUBE, merge)
    assert rounds is not None
    assert rounds.level == 1
    assert rounds.partitions == math.ceil(2 * level_bytes(CUBE, 1) / merge.node_bytes)
    by_hand = rounds_of(CUBE, MergeStage(rounds=Rounds(above_level=1, partitions=5)))
    assert by_hand is not None
    assert (by_hand.level, by_hand.partitions) == (1, 5)
    assert 2 * ALONE_BYTES * rounds.alone_rows <= merge.node_bytes


@pytest.mark.parametrize(
    ("merge", "words"),
    [
        (MergeStage(node_bytes=1000), "no level of the tree fits"),
        (MergeStage(rounds=Rounds(above_level=40)), "rounds.above_level 40"),
        (MergeStage(node_bytes=1 << 20, rounds=Rounds(above_level=1)), "partitions of 1048576 bytes would be needed"),
    ],
)
def test_a_budget_that_nothing_fits_is_refused(merge, words):
    """The message says what is needed and what to change."""
    with pytest.raises(ConfigError, match=words):
        rounds_of(CUBE, merge)


def test_quantiles_are_refused_where_rounds_would_be_needed() -> None:
    """Rounds know no histograms: the message names the memory that the root needs, and with it a root is planned."""
    small = MergeStage(node_bytes=node_bytes(CUBE, 1, "quantile85"), linkage="quantile85")
    needed = max(node_bytes(CUBE, level, "quantile85") for level in range(1, CUBE.levels + 1))
    with pytest.raises(ConfigError, match=f"quantile85: rounds.*node_bytes be {needed} or more"):
        rounds_of(CUBE, small)
    assert rounds_of(CUBE, MergeStage(node_bytes=needed, linkage="quantile85")) is None


def test_histograms_are_priced() -> None:
    """A node needs more where a quantile links than where the mean does."""
    assert node_bytes(CUBE, 1, "quantile50") > node_bytes(CUBE, 1, "max") == node_bytes(CUBE, 1)


def test_a_dry_run_prices_the_tree_and_its_rounds() -> None:
    """Each level, the entry to the rounds and a partition have a predicted size; a partition is within the budget."""
    merge = MergeStage(node_bytes=node_bytes(CUBE, 1))
    fields = {
        "leaves": {"bbox": {"min": CUBE.bbox.min, "max": CUBE.bbox.max}, "chunk_vx": CUBE.chunk_vx, "fan_out": 2},
        "rules": {},
    }
    price = Price()
    rounds, leaf = rounds_of(CUBE, merge), Need("fragment")
    tiers = [*up_tiers(CUBE, leaf, "merge", fields, rounds), *down_tiers(CUBE, fields, rounds)]
    for tier in tiers:
        if tier.kind in ("merge", "enter") or tier.name == "rounds/R0":
            _tree(price, tier)
    assert set(price.tree_node_bytes) == {"merge/L1", "rounds/enter", "rounds"}
    assert max(price.tree_node_bytes.values()) <= merge.node_bytes
    assert price.peak_bytes_per_task["merge"] > merge.node_bytes
