"""The whole merge tree in memory, over any cuts: what the tasks do with objects, done with arrays.

For the laws, the audit and the benches: one cut-free sweep is the single pass.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from emseg.tasks.arrays.coded import Affinities
from emseg.tasks.arrays.columns import U64, Bool
from emseg.tasks.arrays.cut import cut
from emseg.tasks.arrays.faces import FacePair
from emseg.tasks.arrays.finish import Meeting, finished, named
from emseg.tasks.arrays.forest import Down, Forest, Up
from emseg.tasks.arrays.given import given_leaf
from emseg.tasks.arrays.leaf import LeafResult, leaf
from emseg.tasks.arrays.node import node
from emseg.tasks.arrays.relabel import apply_table, lookup_tables
from emseg.tasks.arrays.resolve import resolve
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.arrays.sides import excluded_box, given_box, weights_box
from emseg.tasks.volume.bbox import BBox, Vec, vec
from emseg.tasks.volume.tree import Tree

Cuts = Sequence[Sequence[int]]  # along x, y, z: where cores begin and end, absolute, first to last
Forests = list[dict[Vec, Forest]]  # level 0: leaves


@dataclass(frozen=True)
class Climbed:
    """The way up: the leaves, all forests, and what the nodes of the top level hand on."""

    leaves: dict[Vec, LeafResult]
    tree: Forests
    ups: dict[Vec, Up]

    @property
    def up(self) -> Up:
        """What the one top node hands on (nothing, where no side is open)."""
        (up,) = self.ups.values()
        return up


@dataclass(frozen=True)
class Swept:
    """fragments_ZYX, segments_ZYX: uint64 over bbox."""

    fragments_ZYX: U64
    segments_ZYX: U64


def climb(
    weights_CZYX: Affinities,
    bbox: BBox,
    cuts: Cuts,
    rules: Rules,
    excluded_ZYX: Bool | None = None,
    given_ZYX: U64 | None = None,
    levels: int | None = None,
) -> Climbed:
    """Leaves and nodes over the box that `cuts` span, which may be a part of `bbox`; up to `levels`, if given.

    weights_CZYX: affinities [3, z, y, x] over bbox; excluded_ZYX: bool [z, y, x] over bbox; given_ZYX: uint64 [z, y, x]
    over bbox, fragments made elsewhere.
    """
    leaves = dict(_leaves(weights_CZYX, bbox, cuts, rules, excluded_ZYX, given_ZYX))
    return climb_from(leaves, cuts, rules, levels)


def climb_from(leaves: dict[Vec, LeafResult], cuts: Cuts, rules: Rules, levels: int | None = None) -> Climbed:
    """Nodes over leaves of any kind, up to `levels`, if given."""
    tree: Forests = [{index: result.forest for index, result in leaves.items()}]
    ups = {index: result.up for index, result in leaves.items()}
    shape = tree_of(cuts)
    for level in range(1, (shape.levels if levels is None else levels) + 1):
        ups, forests = _level(ups, leaves, cuts, rules, level)
        tree.append(forests)
    return Climbed(leaves, tree, ups)


def sweep(
    weights_CZYX: Affinities,
    bbox: BBox,
    cuts: Cuts,
    rules: Rules,
    excluded_ZYX: Bool | None = None,
    given_ZYX: U64 | None = None,
) -> Swept:
    """Fragments and segments of `bbox` over the grid that `cuts` make of it; arrays as for `climb`."""
    return descend(climb(weights_CZYX, bbox, cuts, rules, excluded_ZYX, given_ZYX), bbox, cuts, rules)


def sweep_by_rounds(
    weights_CZYX: Affinities,
    bbox: BBox,
    cuts: Cuts,
    rules: Rules,
    excluded_ZYX: Bool | None = None,
    levels: int = 1,
    partitions: int = 2,
    alone_rows: int = 0,
) -> Swept:
    """As `sweep`, but above `levels` the tree is finished by rounds over partitions; alone_rows: as for `advanced`."""
    climbed = climb(weights_CZYX, bbox, cuts, rules, excluded_ZYX, levels=levels)
    kept = finished(climbed.ups, meetings(climbed, cuts), rules, partitions, alone_rows).kept
    return descend(climbed, bbox, cuts, rules, named(kept, climbed.ups, rules))


def tree_of(cuts: Cuts) -> Tree:
    """The tree over the cores that `cuts` make: one core, one voxel of its box."""
    return Tree(BBox.sized((0, 0, 0), [len(c) - 1 for c in cuts]), (1, 1, 1))


def meetings(climbed: Climbed, cuts: Cuts) -> Iterator[Meeting]:
    """Every two nodes of the top level that meet, with the leaf faces between them."""
    shape, level = tree_of(cuts), len(climbed.tree) - 1
    for upper in climbed.ups:
        for axis in range(3):
            lower = vec([i - (a == axis) for a, i in enumerate(upper)])
            if lower in climbed.ups:
                met = shape.faces(level, upper, axis)
                yield lower, upper, [_pair(climbed.leaves, cuts, leaf, axis) for _, leaf in met]


def descend(climbed: Climbed, bbox: BBox, cuts: Cuts, rules: Rules, downs: dict[Vec, Down] | None = None) -> Swept:
    """Fragments and segments after the way up; the threshold of `rules` may be above that of the way up.

    downs: final ids of what the top level hands on; none where it hands on nothing.
    """
    fragments_ZYX, segments_ZYX = np.zeros((2, *bbox.shape_ZYX), np.uint64)
    for index, down in _downs(climbed.tree, tree_of(cuts), rules, downs).items():
        at = _core(cuts, index).slices_ZYX(bbox.min)
        by_fragment, by_segment = lookup_tables(down)
        fragments_ZYX[at] = apply_table(climbed.leaves[index].labels_ZYX, by_fragment)
        segments_ZYX[at] = apply_table(climbed.leaves[index].labels_ZYX, by_segment)
    return Swept(fragments_ZYX, segments_ZYX)


def _core(cuts: Cuts, index: Vec) -> BBox:
    return BBox.of(
        [c[i] for c, i in zip(cuts, index, strict=True)], [c[i + 1] for c, i in zip(cuts, index, strict=True)]
    )


def _leaves(
    weights_CZYX: Affinities, bbox: BBox, cuts: Cuts, rules: Rules, excluded_ZYX: Bool | None, given_ZYX: U64 | None
) -> Iterator[tuple[Vec, LeafResult]]:
    for place in itertools.product(*(range(len(c) - 1) for c in cuts)):
        index = vec(place)
        core = _core(cuts, index)
        weights = weights_CZYX[(slice(None), *weights_box(core, bbox).slices_ZYX(bbox.min))]
        excluded = None if excluded_ZYX is None else excluded_ZYX[excluded_box(core, bbox).slices_ZYX(bbox.min)]
        if given_ZYX is None:
            yield index, leaf(weights, core, bbox, rules, excluded)
        else:
            given = given_ZYX[given_box(core, bbox).slices_ZYX(bbox.min)]
            yield index, given_leaf(given, weights, core, bbox, rules, excluded)


def _level(
    ups: dict[Vec, Up], leaves: dict[Vec, LeafResult], cuts: Cuts, rules: Rules, level: int
) -> tuple[dict[Vec, Up], dict[Vec, Forest]]:
    """One level of the tree."""
    shape, above, forests = tree_of(cuts), {}, {}
    for parent in shape.nodes(level).indices():
        pairs = (_pair(leaves, cuts, upper, axis) for _, upper, axis in shape.pairs(level, parent))
        result = node([(c, ups[c]) for c in shape.children(level, parent)], pairs, rules)
        above[parent], forests[parent] = result.up, result.forest
    return above, forests


def _pair(leaves: dict[Vec, LeafResult], cuts: Cuts, upper: Vec, axis: int) -> FacePair:
    """The faces between a leaf and the one below it along an axis."""
    below = vec([i - (a == axis) for a, i in enumerate(upper)])
    name = "xyz"[axis]
    low, high = leaves[below].faces[name + "+"], leaves[upper].faces[name + "-"]
    return FacePair(low, high, axis, _core(cuts, upper).min)


def _downs(forests: Forests, shape: Tree, rules: Rules, downs: dict[Vec, Down] | None = None) -> dict[Vec, Down]:
    """Final ids of every leaf's handles, from the top level down."""
    downs = downs or {index: Down.empty() for index in forests[-1]}
    for level in range(len(forests) - 1, 0, -1):
        below: dict[Vec, Down] = {}
        for index, forest in forests[level].items():
            below.update(zip(shape.children(level, index), _resolved(downs[index], forest, rules), strict=True))
        downs = below
    return {index: _resolved(downs[index], forest, rules)[0] for index, forest in forests[0].items()}


def _resolved(down: Down, forest: Forest, rules: Rules) -> list[Down]:
    return resolve(down, cut(forest, rules.w_mean), rules.dust_vx)
