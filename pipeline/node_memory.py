"""How much memory the nodes of the merge tree need, before any is made; and where the tree ends and rounds begin.

A node holds what its children hand up: what is not settled in a child touches its open sides. On real affinities
(fib25, about 160 voxels a fragment) the tables take 20 to 21.5 bytes per voxel of open surface in cubes of 60 to 240
voxels a side, nearly half of it rows of the agglomeration, and a node peaks at 3.6 times its children's tables:
`python tests/bench/node_bytes.py` shows both. Larger fragments need less. Where quantile50 links at
0.5 (`node_bytes.py quantile50`), tables take 23 to 25.5 bytes, and a node peaks at 3.7 times its children's.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from emseg.pipeline.config import MergeStage
from emseg.tasks.arrays.rules import PERCENT, Linkage
from emseg.tasks.volume.bbox import BBox, vec
from emseg.tasks.volume.errors import ConfigError
from emseg.tasks.volume.limits import PARTITIONS
from emseg.tasks.volume.tree import Tree

SURFACE_BYTES = 21.5  # of the tables of a node, per voxel of its open sides
BINS_FACTOR = 1.5  # more for the histograms of a quantile: 1.2 at threshold 0.5, lower ones keep more bins
NODE_FACTOR = 4.0  # peak of a node over the bytes of its children's tables
ALONE_BYTES = 320  # peak of a task that finishes A alone, per row at each of its ends; 92 to 300 were measured


@dataclass(frozen=True)
class Rounds:
    """Rounds above level `level` of the tree, over so many partitions; at most so many rounds up, and down.

    alone_rows: how many rows of A, counted at both ends, fit one task, which then finishes them.
    """

    level: int
    partitions: int
    most: int
    most_down: int
    alone_rows: int


def table_bytes(core: BBox, bbox: BBox) -> int:
    """Estimated bytes of what a node with this core hands up."""
    open_vx = 0
    for axis in range(3):
        sides = (core.min[axis] > bbox.min[axis]) + (core.max[axis] < bbox.max[axis])
        open_vx += sides * core.voxels // core.size[axis]
    return math.ceil(SURFACE_BYTES * open_vx)


def node_bytes(tree: Tree, level: int, linkage: Linkage = "mean") -> int:
    """Estimated peak bytes of the node of a level that needs most: whole, and far from the box's sides."""
    index = vec([min(1, max(0, n - 2)) for n in tree.nodes(level).shape])
    below, more = tree.nodes(level - 1), BINS_FACTOR if linkage in PERCENT else 1
    return math.ceil(
        more * NODE_FACTOR * sum(table_bytes(below.core(i), tree.bbox) for i in tree.children(level, index))
    )


def level_bytes(tree: Tree, level: int) -> int:
    """Estimated bytes that all partitions of rounds above a level hold together at their peak."""
    return math.ceil(NODE_FACTOR * SURFACE_BYTES * _open_vx(tree, level))


def _open_vx(tree: Tree, level: int) -> int:
    """Voxels on the open sides of all nodes of a level, those on an edge twice."""
    size, shape = tree.bbox.size, tree.nodes(level).shape
    return sum(2 * (shape[a] - 1) * tree.bbox.voxels // size[a] for a in range(3))


def _naming_rounds(tree: Tree, level: int) -> int:
    """Number of the last round down: stars over a path of n handles are done in log2 n + 1 large and small ones."""
    return 2 * (_open_vx(tree, level).bit_length() + 2) + 4


def rounds_of(tree: Tree, merge: MergeStage) -> Rounds | None:
    """Where rounds begin, as the config says, or above the last level whose nodes fit the budget; None: nowhere.

    Raises:
        ConfigError: a level that the tree has not, nodes of the first level pass the budget, or rounds for a quantile.
    """
    wanted, held = merge.rounds, [node_bytes(tree, n, merge.linkage) for n in range(1, tree.levels + 1)]
    fits = itertools.takewhile(lambda n: held[n - 1] <= merge.node_bytes, range(1, tree.levels + 1))
    level = wanted.above_level or max(fits, default=0)
    if not 1 <= level <= tree.levels:
        raise ConfigError(
            f"stages.merge: no level of the tree fits (levels 1 to {tree.levels} need "
            f"{held} bytes a node, node_bytes {merge.node_bytes}, "
            f"rounds.above_level {wanted.above_level}); raise node_bytes, or use smaller leaves"
        )
    if level == tree.levels:
        return None
    if merge.linkage in PERCENT:
        raise ConfigError(
            f"stages.merge.linkage {merge.linkage}: rounds, planned above level {level} of {tree.levels}, know mean "
            f"and max only; let stages.merge.node_bytes be {max(held)} or more and rounds.above_level 0, or use these"
        )
    partitions = wanted.partitions or max(2, math.ceil(2 * level_bytes(tree, level) / merge.node_bytes))
    if partitions > PARTITIONS:
        raise ConfigError(
            f"stages.merge.rounds: {partitions} partitions of {merge.node_bytes} bytes would be needed, more than "
            f"{PARTITIONS}; raise stages.merge.node_bytes"
        )
    alone_rows = merge.node_bytes // 2 // ALONE_BYTES  # the other half is for the partition's own
    return Rounds(level, partitions, wanted.most, _naming_rounds(tree, level), alone_rows)
