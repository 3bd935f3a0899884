"""The tiers of the merge tree: up through its levels, rounds above where it ends early, and down again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from emseg.pipeline.node_memory import Rounds
from emseg.pipeline.tier import Need, Tier
from emseg.tasks.exchange import cells
from emseg.tasks.volume.grid import Grid
from emseg.tasks.volume.tree import Tree

ALL = (1 << 22,) * 3  # farther than any voxel or partition is from another
ONE = (1, 1, 1)


def up_tiers(
    tree: Tree, leaf: Need, kind: str, fields: Mapping[str, Any], rounds: Rounds | None = None
) -> Iterator[Tier]:
    """`merge/L1` to the root, or to the level where rounds begin; then `rounds/enter`, `rounds/R0`, …

    Args:
        tree: over the leaves.
        leaf: what the lowest nodes need: the tier of the leaves.
        kind, fields: of the nodes; `level` is added.
        rounds: where the tree ends early.
    """
    top = tree.levels if rounds is None else rounds.level
    for level in range(1, top + 1):
        below = leaf if level == 1 else Need(f"merge/L{level - 1}")
        yield Tier(f"merge/L{level}", kind, tree.nodes(level), {**fields, "level": level}, (below,), "big")
    if rounds is None:
        return
    shared = {**fields, "level": top, "partitions": rounds.partitions}
    own = Need(f"merge/L{top}", pad_high_vx=ONE)
    yield Tier("rounds/enter", "enter", tree.nodes(top), shared, (own,), "big")
    before = "rounds/enter"
    for number in range(rounds.most + 1):
        values = {**shared, "round": number, "most": rounds.most, "alone_rows": rounds.alone_rows}
        yield Tier(f"rounds/R{number}", "round", _row(rounds), values, (_everything(before),), "big")
        before = f"rounds/R{number}"


def down_tiers(tree: Tree, fields: Mapping[str, Any], rounds: Rounds | None = None) -> Iterator[Tier]:
    """`resolve/N0`, … and `resolve/gather` where there are rounds; then resolve, level by level, to `resolve/L1`."""
    above: tuple[Need, ...] = ()
    top = levels = tree.levels
    if rounds is not None:
        top, levels = rounds.level, rounds.level + 1
        shared = {**fields, "level": top, "partitions": rounds.partitions}
        before = f"rounds/R{rounds.most}"
        for number in range(rounds.most_down + 1):
            values = {**shared, "round": number, "most": rounds.most_down}
            yield Tier(f"resolve/N{number}", "naming", _row(rounds), values, (_everything(before),), "big", final=True)
            before = f"resolve/N{number}"
        yield Tier("resolve/gather", "gather", tree.nodes(top), shared, (_everything(before),), "big", final=True)
        above = (Need("resolve/gather"),)
    for level in range(top, 0, -1):
        needs = (Need(f"merge/L{level}"), *above)
        values = {**fields, "level": level, "levels": levels}
        yield Tier(f"resolve/L{level}", "resolve", tree.nodes(level), values, needs, "big", final=True)
        above = (Need(f"resolve/L{level}"),)


def _row(rounds: Rounds) -> Grid:
    """One cell a partition."""
    return Grid(cells(rounds.partitions), ONE)


def _everything(tier: str) -> Need:
    return Need(tier, ALL, ALL)
