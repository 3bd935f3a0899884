"""Instance chunks cut from a truth, with mistakes; stitching them plainly; and three naive ways to do it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from emseg.tasks.arrays.instances import InstanceLeaf
from emseg.tasks.arrays.match import match
from emseg.tasks.volume.bbox import BBox, Vec
from emseg.tasks.volume.grid import Grid
from oracles.stitching import Sets, voxel_code

Chunks = dict[Vec, np.ndarray]


def cut_up(truth_ZYX: np.ndarray, grid: Grid, seed: int, wrong: float = 0.03) -> Chunks:
    """Every chunk of a grid with ids of its own, and a share of its instances split or merged with a neighbour."""
    out = {}
    for index in grid.indices():
        rng = np.random.default_rng((seed, *index))
        part = truth_ZYX[grid.whole(index).slices_ZYX(grid.bbox.min)]
        labels = np.unique(np.append(part, part.dtype.type(0)), return_inverse=True)[1][:-1].reshape(part.shape)
        names = [int(n) for n in np.unique(labels) if n]
        for name in names:
            if rng.random() < wrong:
                _split(labels, name, rng) if rng.random() < 0.5 else _merge(labels, name)
        known = np.unique(labels)
        new = np.zeros(len(known), np.uint32)
        new[known > 0] = 1 + rng.permutation(2 * len(known))[: (known > 0).sum()]
        out[index] = new[np.searchsorted(known, labels)]
    return out


def _split(labels: np.ndarray, name: int, rng: np.random.Generator) -> None:
    """Cut an instance by a plane through its middle, across any direction."""
    places = np.argwhere(labels == name)
    far = (places - places.mean(0)) @ rng.normal(size=3) > 0
    labels[tuple(places[far].T)] = labels.max() + 1


def _merge(labels: np.ndarray, name: int) -> None:
    """Give an instance's voxels to the neighbour that it is nearest to."""
    mask, reach = labels == name, 0
    while reach < 6:
        reach += 1
        around = mask.copy()
        for axis, step in itertools.product(range(3), (-1, 1)):
            around |= np.roll(mask, step, axis)
        beside = labels[around & ~mask & (labels > 0) & (labels != name)]
        if beside.size:
            names, voxels = np.unique(beside, return_counts=True)
            labels[labels == name] = names[voxels.argmax()]
            return
        mask = around


def blurred(chunks: Chunks, seed: int) -> Chunks:
    """Chunks whose borders differ from each other's: labels swap across them, and half of a membrane has none."""
    out = {}
    for index, labels in chunks.items():
        rng = np.random.default_rng((seed, 9, *index))
        moved = labels.copy()
        for axis, step in itertools.product(range(3), (-1, 1)):
            moved = np.where(rng.random(labels.shape) < 1 / 6, np.roll(moved, step, axis), moved)
        border = np.logical_or.reduce([np.roll(moved, 1, axis) != moved for axis in range(3)])
        out[index] = np.where(border & (rng.random(labels.shape) < 0.5), 0, moved).astype(labels.dtype)
    return out


@dataclass(frozen=True)
class Told:
    """Ids that are unique over the volume: uint64 [z, y, x] over each whole chunk, 0 for background and strangers."""

    grid: Grid
    ids: dict[Vec, np.ndarray]

    @classmethod
    def of(cls, chunks: Chunks, grid: Grid) -> Told:
        """Instances by 1 + the code of their least core voxel, voxel by voxel."""
        ids = {}
        for index, labels in chunks.items():
            whole, core = grid.whole(index), grid.core(index)
            inner = labels[core.slices_ZYX(whole.min)]
            found = {0: 0}
            names, first = np.unique(inner, return_index=True)
            for name, at in zip(names.tolist(), first.tolist(), strict=True):
                z, y, x = np.unravel_index(at, inner.shape)
                place = tuple(int(p) + o for p, o in zip((x, y, z), core.min, strict=True))
                found[name] = 1 + voxel_code(place) if name else 0
            table = np.array([found.get(n, 0) for n in range(int(labels.max()) + 1)], np.uint64)
            ids[index] = table[labels]
        return cls(grid, ids)

    def pairs(self) -> Iterator[tuple[Vec, Vec, int]]:
        """Chunks that are neighbours: lower, upper, axis."""
        for index in self.ids:
            for axis in range(3):
                if index[axis]:
                    yield tuple(i - (a == axis) for a, i in enumerate(index)), index, axis  # type: ignore[misc]

    def within(self, index: Vec, box: BBox) -> np.ndarray:
        """Ids of one chunk in a box."""
        return self.ids[index][box.slices_ZYX(self.grid.whole(index).min)]

    def joined(self, pairs: Iterator[tuple[int, int]]) -> np.ndarray:
        """uint64 [z, y, x] over the volume: cores after uniting pairs of ids."""
        sets = Sets()
        for u, v in pairs:
            sets.unite(u, v)
        out = np.zeros(self.grid.bbox.shape_ZYX, np.uint64)
        for index in self.ids:
            core = self.grid.core(index)
            known, which = np.unique(self.within(index, core), return_inverse=True)
            names = np.array([sets.find(int(n)) if n else 0 for n in known], np.uint64)
            out[core.slices_ZYX(self.grid.bbox.min)] = names[which].reshape(core.shape_ZYX)
        return out


def unmerged(told: Told) -> np.ndarray:
    """Baseline: every chunk keeps its own ids."""
    return told.joined(iter(()))


def any_touch(told: Told) -> np.ndarray:
    """Baseline: two instances that share any voxel of an overlap are one."""
    return told.joined(_pairs(told, lambda u, v: np.ones(u.shape, bool)))


def border_runs(told: Told, run_vx: int = 8) -> np.ndarray:
    """Baseline: where two cores meet, labels that face each other over a run of voxels of a line are one."""

    def pairs() -> Iterator[tuple[int, int]]:
        for lower, upper, axis in told.pairs():
            core = told.grid.core(upper)
            high = list(core.max)
            high[axis] = core.min[axis] + 1
            plane = BBox.of(core.min, high)
            below = plane.shifted([-(a == axis) for a in range(3)])
            u, v = (np.squeeze(told.within(i, b), 2 - axis) for i, b in ((lower, below), (upper, plane)))
            for one, two in zip(u, v, strict=True):
                changes = np.flatnonzero((np.diff(one.astype(np.int64)) != 0) | (np.diff(two.astype(np.int64)) != 0))
                starts = np.concatenate([[0], changes + 1])
                lengths = np.diff(np.append(starts, len(one)))
                for at in starts[lengths >= run_vx].tolist():
                    if one[at] and two[at]:
                        yield int(one[at]), int(two[at])

    return told.joined(pairs())


def _pairs(told: Told, where: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Iterator[tuple[int, int]]:
    for lower, upper, axis in told.pairs():
        seam = told.grid.seam(upper, axis)
        u, v = told.within(lower, seam), told.within(upper, seam)
        both = (u > 0) & (v > 0) & where(u, v)
        for pair in np.unique(np.stack([u[both], v[both]]), axis=1).T.tolist():
            yield int(pair[0]), int(pair[1])


def matched(told: Told, leaves: dict[Vec, InstanceLeaf], least_vx: int, w_least: int) -> np.ndarray:
    """Overlap mode without a tree: every pair that joins, in one pass of union-find."""

    def pairs() -> Iterator[tuple[int, int]]:
        for lower, upper, axis in told.pairs():
            name, seam = "xyz"[axis], told.grid.seam(upper, axis)
            slabs = leaves[lower].slabs[name + "+"], leaves[upper].slabs[name + "-"]
            found = match(*slabs, seam, axis, least_vx, w_least)
            for u, v, score in zip(found.lower.labels[0], found.upper.labels[0], found.upper.weights[0], strict=True):
                if score >= w_least:
                    yield int(found.lower.ids[u - 1]), int(found.upper.ids[v - 1])

    return told.joined(pairs())
