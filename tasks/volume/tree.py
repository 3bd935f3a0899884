"""The merge tree over a grid of leaves: nodes of 2 × 2 × 2 children, and which leaf faces meet inside a node.

Level 0 are the leaves; node (x, y, z) of level L holds the leaves whose index, shifted right by L bits, is (x, y, z).
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
        """(lower leaf, upper leaf, axis) of every two leaves that meet inside a node but in no child of it."""
        leaves, half = self.leaves, 1 << (level - 1)
        for axis in range(3):
            middle = (2 * index[axis] + 1) * half
            if middle >= leaves.shape[axis]:
                continue
            spans = [range(i << level, min((i + 1) << level, n)) for i, n in zip(index, leaves.shape, strict=True)]
            spans[axis] = range(middle, middle + 1)
            for z, y, x in itertools.product(*reversed(spans)):
                upper = vec([x, y, z])
                yield vec([i - (a == axis) for a, i in enumerate(upper)]), upper, axis
