"""The law of overlap mode: the tree, and rounds above it, give the plain union of all pairs that join, ids included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from laws.counts import CONTROL_CASES, in_parts
from oracles.overlap import Chunks, Told, blurred, cut_up, matched

from emseg.tasks.arrays.finish import finished, named
from emseg.tasks.arrays.instances import InstanceLeaf, instance_leaf
from emseg.tasks.arrays.leaf import LeafResult
from emseg.tasks.arrays.match import match
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.arrays.sweep import climb_from, descend, meetings
from emseg.tasks.volume.bbox import BBox, Vec, vec
from emseg.tasks.volume.grid import Grid

PARTITIONS = (1, 2, 3)


@dataclass(frozen=True)
class Overlapping:
    """One volume in overlapping chunks of instances, wrong in places."""

    grid: Grid
    chunks: Chunks
    rules: Rules
    least_vx: int


def random_chunks(seed: int) -> Overlapping:
    """Case number `seed`: cells around random points, two to four chunks along each axis."""
    rng = np.random.default_rng(seed)
    step, overlap = (tuple(int(n) for n in rng.integers(low, high, 3)) for low, high in ((3, 6), (1, 4)))
    size = [s * int(rng.integers(1, 4)) + o + int(rng.integers(0, 2)) for s, o in zip(step, overlap, strict=True)]
    grid = Grid(BBox.sized(rng.integers(-9, 9, 3).tolist(), size), step, overlap)
    places = np.argwhere(np.ones(grid.bbox.shape_ZYX, bool))
    points = places[rng.integers(0, len(places), rng.integers(2, 14))]
    near = ((places[:, None] - points[None]) ** 2).sum(2).argmin(1) + 1
    truth_ZYX = np.where(rng.random(len(near)) < 0.1, 0, near).reshape(grid.bbox.shape_ZYX).astype(np.uint32)
    chunks = cut_up(truth_ZYX, grid, seed, wrong=0.2)
    weight = int(rng.choice([1, 20000, 32768, 60000]))
    return Overlapping(
        grid,
        blurred(chunks, seed) if seed % 2 else chunks,
        Rules(1, 65535, 0, weight, 0, "max"),
        int(rng.integers(1, 5)),
    )


def leaves_of(case: Overlapping) -> dict[Vec, InstanceLeaf]:
    """Leaves of all chunks."""
    return {index: instance_leaf(chunk, case.grid, index, case.rules) for index, chunk in case.chunks.items()}


def cuts_of(grid: Grid) -> list[list[int]]:
    """Where cores begin and end along x, y, z."""
    cuts = []
    for axis, count in enumerate(grid.shape):
        along = [grid.core(vec([i * (a == axis) for a in range(3)])) for i in range(count)]
        cuts.append([*(core.min[axis] for core in along), along[-1].max[axis]])
    return cuts


def met(case: Overlapping, leaves: dict[Vec, InstanceLeaf]) -> dict[Vec, LeafResult]:
    """The leaves with the faces that matching gives them."""
    faces: dict[Vec, dict[str, object]] = {index: {} for index in leaves}
    for lower, upper, axis in _neighbours(case.grid):
        name, seam = "xyz"[axis], case.grid.seam(upper, axis)
        slabs = leaves[lower].slabs[name + "+"], leaves[upper].slabs[name + "-"]
        found = match(*slabs, seam, axis, case.least_vx, case.rules.w_mean)
        faces[lower][name + "+"], faces[upper][name + "-"] = found.lower, found.upper
    return {i: LeafResult(leaf.labels_ZYX, faces[i], leaf.forest, leaf.up) for i, leaf in leaves.items()}  # type: ignore[arg-type]


def _neighbours(grid: Grid) -> Iterator[tuple[Vec, Vec, int]]:
    for index in grid.indices():
        for axis in range(3):
            if index[axis]:
                yield tuple(i - (a == axis) for a, i in enumerate(index)), index, axis  # type: ignore[misc]


def different(seed: int, linkage: str = "max") -> list[tuple[int, str]]:
    """Which ways give other ids than the union of all pairs: the tree, or rounds above a level of it."""
    case, found = random_chunks(seed), []
    leaves, cuts, rules = leaves_of(case), cuts_of(case.grid), replace(case.rules, linkage=linkage)
    wanted = matched(Told.of(case.chunks, case.grid), leaves, case.least_vx, rules.w_mean)
    ours = met(case, leaves)
    tree = descend(climb_from(ours, cuts, rules), case.grid.bbox, cuts, rules)
    if not np.array_equal(tree.segments_ZYX, wanted):
        found.append((seed, "tree"))
    climbed = climb_from(ours, cuts, rules, levels=seed % 2)
    kept = finished(climbed.ups, meetings(climbed, cuts), rules, PARTITIONS[seed % 3], 20 * (seed % 4)).kept
    rounds = descend(climbed, case.grid.bbox, cuts, rules, named(kept, climbed.ups, rules))
    if not np.array_equal(rounds.segments_ZYX, wanted):
        found.append((seed, "rounds"))
    return found


@in_parts
def test_tree_and_rounds_give_the_union_of_all_pairs(seeds: range) -> None:
    """Over random chunks with mistakes, with borders alike or not, neither the tree nor rounds have a say."""
    assert [found for seed in seeds for found in different(seed)] == []


def test_parallel_joins_that_are_averaged_are_caught() -> None:
    """Instances that meet in two places with two scores: the mean of both is another rule, and some volume shows it."""
    assert any(different(seed, "mean") for seed in range(CONTROL_CASES))


def test_the_chunks_do_join_and_do_not() -> None:
    """The random chunks are no empty trial: most volumes have segments over several chunks, and several segments."""
    joined = apart = 0
    for seed in range(40):
        case = random_chunks(seed)
        told, leaves = Told.of(case.chunks, case.grid), leaves_of(case)
        segments = len(np.unique(matched(told, leaves, case.least_vx, case.rules.w_mean)))
        joined += segments < len(np.unique(matched(told, leaves, case.least_vx, 65536)))
        apart += segments > 3
    assert joined > 20
    assert apart > 20
