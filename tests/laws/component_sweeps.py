"""Random label volumes, and the tree of connected components in memory over any cuts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import cc3d
import numpy as np

from emseg.tasks.arrays.borders import AXES, Meeting, opposite, step_name
from emseg.tasks.arrays.component_tree import ComponentLeaf, component_leaf, component_node
from emseg.tasks.arrays.forest import Down, Forest
from emseg.tasks.arrays.relabel import apply_table, lookup_tables
from emseg.tasks.arrays.resolve import resolve
from emseg.tasks.volume.bbox import BBox, Vec, vec
from emseg.tasks.volume.codes import codes_of_box
from emseg.tasks.volume.tree import Tree

Cuts = list[list[int]]
TYPES = (np.uint8, np.uint16, np.uint32, np.uint64, np.int64)


@dataclass(frozen=True)
class Labels:
    """One random volume: few labels, sparse, dense or in lumps."""

    bbox: BBox
    values_ZYX: np.ndarray
    dust_vx: int


def random_labels(seed: int, low: int = 4, high: int = 15) -> Labels:
    """Volume number `seed`; origins may be negative."""
    rng = np.random.default_rng(seed)
    bbox = BBox.sized(rng.integers(-20, 20, 3).tolist(), rng.integers(low, high, 3).tolist())
    share = (0.08, 0.2, 0.35, 0.6, 1.0)[seed % 5]
    values = rng.integers(1, 2 + seed % 3, bbox.shape_ZYX)
    if seed % 4 == 3:  # lumps of one label, as tissue has
        values = np.repeat(np.repeat(np.repeat(values[::2, ::3, ::2], 2, 0), 3, 1), 2, 2)[
            : values.shape[0], : values.shape[1], : values.shape[2]
        ]
    dtype = TYPES[seed % len(TYPES)]
    big = {np.uint64: 2**64 - 5, np.int64: -9}.get(dtype, 100)
    values = np.where(rng.random(bbox.shape_ZYX) < share, values, 0)
    return Labels(bbox, np.where(values, values.astype(dtype) + np.array(big, dtype), 0).astype(dtype), seed % 7 * 3)


def of_the_whole(values_ZYX: np.ndarray, bbox: BBox, connectivity: int, dust_vx: int) -> np.ndarray:
    """What cc3d says of the whole volume, with emseg's ids: 1 + the least code of each component; dust is 0."""
    plain_ZYX = np.searchsorted(np.unique(values_ZYX[values_ZYX != 0]), values_ZYX) + 1  # 1..n whatever the type
    plain_ZYX[values_ZYX == 0] = 0
    found = cc3d.connected_components(plain_ZYX, connectivity=connectivity)
    _, first, label, size = np.unique(found, return_index=True, return_inverse=True, return_counts=True)
    ids = codes_of_box(bbox).reshape(-1)[first] + np.uint64(1)
    ids[(found.reshape(-1)[first] == 0) | (size < dust_vx)] = 0
    out: np.ndarray = ids[label].reshape(values_ZYX.shape)
    return out


def swept(values_ZYX: np.ndarray, bbox: BBox, cuts: Cuts, connectivity: int, dust_vx: int, axes: int = 0) -> np.ndarray:
    """uint64 [z, y, x]: components over the grid that `cuts` make; axes: of the steps that meet, if not all are to."""
    tree = Tree(BBox.sized((0, 0, 0), [len(c) - 1 for c in cuts]), (1, 1, 1))
    cores = {index: _core(cuts, index) for index in tree.leaves.indices()}
    leaves = {
        index: component_leaf(values_ZYX[core.slices_ZYX(bbox.min)], core, bbox, connectivity)
        for index, core in cores.items()
    }
    ups, forests = {index: leaf.up for index, leaf in leaves.items()}, list[dict[Vec, Forest]]()
    for level in range(1, tree.levels + 1):
        nodes = {}
        for index in tree.nodes(level).indices():
            children = [(child, ups[child]) for child in tree.children(level, index)]
            meetings = met(tree, leaves, level, index, axes or AXES[connectivity])
            nodes[index] = component_node(children, meetings, connectivity)
        ups = {index: node.up for index, node in nodes.items()}
        forests.append({index: node.forest for index, node in nodes.items()})
    return _labelled(tree, cores, leaves, forests, bbox, dust_vx)


def met(tree: Tree, leaves: dict[Vec, ComponentLeaf], level: int, index: Vec, axes: int) -> Iterator[Meeting]:
    """What meets inside a node."""
    for lower, upper, step in tree.meetings(level, index, axes):
        below, over = leaves[lower].borders[step_name(step)], leaves[upper].borders[step_name(opposite(step))]
        yield Meeting(below, over, step, f"{lower} and {upper}")


def _core(cuts: Cuts, index: Vec) -> BBox:
    return BBox.of(*(vec([c[i + up] for c, i in zip(cuts, index, strict=True)]) for up in (0, 1)))


def _labelled(
    tree: Tree,
    cores: dict[Vec, BBox],
    leaves: dict[Vec, ComponentLeaf],
    forests: list[dict[Vec, Forest]],
    bbox: BBox,
    dust_vx: int,
) -> np.ndarray:
    downs = {(0, 0, 0): Down.empty()}
    for level in range(len(forests), 0, -1):
        below = {
            index: zip(tree.children(level, index), resolve(downs[index], forest, dust_vx), strict=True)
            for index, forest in forests[level - 1].items()
        }
        downs = dict(itertools.chain(*below.values()))
    out = np.zeros(bbox.shape_ZYX, np.uint64)
    for index, leaf in leaves.items():
        _, table = lookup_tables(resolve(downs[index], leaf.forest, dust_vx)[0])
        out[cores[index].slices_ZYX(bbox.min)] = apply_table(leaf.labels_ZYX, table)
    return out
