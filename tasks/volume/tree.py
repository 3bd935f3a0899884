"""The merge tree over a grid of leaves: nodes of 2 × 2 × 2 children, and which leaves meet inside a node.

Level 0 are the leaves; node (x, y, z) of level L holds the leaves whose index, shifted right by L bits, is (x, y, z).
Two leaves meet in a face, an edge or a corner, and inside one node: the lowest that holds both.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from emseg.tasks.volume.bbox import BBox, Vec, vec
from emseg.tasks.volume.grid import Grid, key_of


@dataclass(frozen=True)
class Tree:
    """A tree over the leaves of `chunk_vx`, which may overlap, in `bbox`."""

    bbox: BBox
    chunk_vx: Vec
    overlap_vx: Vec = (0, 0, 0)

    @property
    def leaves(self) -> Grid:
        """The grid of leaves."""
        return Grid(self.bbox, self.chunk_vx, self.overlap_vx)

    def nodes(self, level: int) -> Grid:
        """The grid of nodes of a level."""
        return self.leaves.scaled(2**level)

    def name(self, level: int, index: Vec) -> str:
        """Name of a node in keys of tables: L<level>/x_y_z."""
        return f"L{level}/{key_of(index)}"

    def index(self, level: int, core: BBox) -> Vec:
        """Index of the node of a level whose box starts where `core` does."""
        return next(self.nodes(level).indices_meeting(core))

    def children(self, level: int, index: Vec) -> list[Vec]:
        """Indices, one level below, of a node's children, x fastest."""
        return list(self.nodes(level - 1).indices_meeting(self.nodes(level).core(index)))

    def pairs(self, level: int, index: Vec) -> Iterator[tuple[Vec, Vec, int]]:
        """(lower leaf, upper leaf, axis) of every two leaves that share a face inside a node but in no child of it."""
        for lower, upper, step in self.meetings(level, index, 1):
            yield lower, upper, step.index(1)

    def meetings(self, level: int, index: Vec, axes: int) -> Iterator[tuple[Vec, Vec, Vec]]:
        """(leaf, other leaf, step between them) of every two leaves that meet inside a node but in no child of it.

        axes: how many axes a step may go along: 1 faces, 2 also edges, 3 also corners.
        """
        for step in steps(axes):
            for leaf in self._crossing(level, index, step):
                yield leaf, vec([i + s for i, s in zip(leaf, step, strict=True)]), step

    def _crossing(self, level: int, index: Vec, step: Vec) -> Iterator[Vec]:
        """Leaves of a node from which a step leads into another child of it."""
        half, spans, last = 1 << (level - 1), [], []
        for i, n, s in zip(index, self.leaves.shape, step, strict=True):
            low, high = i << level, min((i + 1) << level, n)
            spans.append(range(max(low, low - s), min(high, high - s)))
            last.append(low + half - (s > 0))  # the leaf before the step crosses the middle
        for axis in range(3):
            if step[axis] == 0 or last[axis] not in spans[axis]:
                continue
            crossing = [[v for v in spans[a] if step[a] == 0 or v != last[a]] for a in range(axis)]
            z, y, x = reversed([*crossing, [last[axis]], *spans[axis + 1 :]])
            yield from (vec(leaf[::-1]) for leaf in itertools.product(z, y, x))


def steps(axes: int) -> list[Vec]:
    """Half of the steps to a neighbour along 1 to `axes` axes, the other half being their opposites; faces first."""
    every = [vec(step[::-1]) for step in itertools.product((-1, 0, 1), repeat=3)]
    upper = [step for step in every if 0 < sum(map(abs, step)) <= axes and step[::-1] > (0, 0, 0)]
    return sorted(upper, key=lambda step: (sum(map(abs, step)), step[::-1]))
