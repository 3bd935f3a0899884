"""The order in which starting tasks are fed: tier by tier, Morton order within a tier, by arithmetic alone.

A worker that finishes starting task i must name task i + window of a plan of 30 million without walking them. The
number of cells of a grid in one octant is a product, so the place of a cell in Morton order, and the cell at a place,
take eight products a level.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from emseg.pipeline.plan import Plan
from emseg.pipeline.tier import Tier
from emseg.tasks.volume.bbox import Vec, vec


@dataclass(frozen=True)
class StartOrder:
    """Starting tasks of a plan: those of tiers that need nothing."""

    tiers: tuple[Tier, ...]

    @classmethod
    def of(cls, plan: Plan, final: bool = False) -> StartOrder:
        """Order of the starting tasks; those of stitching only if `final`."""
        return cls(tuple(t for t in plan.tiers if not t.needs and (final or not t.final)))

    def __len__(self) -> int:
        return sum(len(t.grid) for t in self.tiers)

    def place(self, key: str) -> int | None:
        """Place of a key, None if it is no starting task."""
        before = 0
        for tier in self.tiers:
            if key.rsplit("/", 1)[0] == tier.name:
                return before + morton_place(tier.grid.shape, tier.grid.index_of(key.rsplit("/", 1)[1]))
            before += len(tier.grid)
        return None

    def key(self, place: int) -> str | None:
        """Key at a place, None behind the last."""
        for tier in self.tiers:
            if place < len(tier.grid):
                return tier.key(morton_index(tier.grid.shape, place))
            place -= len(tier.grid)
        return None


def morton_place(shape: Vec, index: Vec) -> int:
    """How many cells of a grid come before `index` in the order of `Grid.indices`."""
    place = 0
    for octants, half in _levels(shape):
        mine = vec([i // half % 2 for i in index])
        low = vec([i // (2 * half) * 2 * half for i in index])
        for octant in itertools.takewhile(lambda o, mine=mine: o != mine, octants):  # type: ignore[misc]
            place += _cells(shape, low, octant, half)
    return place


def morton_index(shape: Vec, place: int) -> Vec:
    """The cell with `place` cells before it."""
    low: Vec = (0, 0, 0)
    for octants, half in _levels(shape):
        for octant in octants:
            cells = _cells(shape, low, octant, half)
            if place < cells:
                low = vec([a + o * half for a, o in zip(low, octant, strict=True)])
                break
            place -= cells
    return low


def _levels(shape: Vec) -> Iterator[tuple[list[Vec], int]]:
    """From the coarsest: the octants (x, y, z bits) in order, x fastest, and their side."""
    octants = [vec([x, y, z]) for z, y, x in itertools.product((0, 1), repeat=3)]
    for bit in reversed(range(max((n - 1).bit_length() for n in shape))):
        yield octants, 1 << bit


def _cells(shape: Vec, low: Vec, octant: Vec, side: int) -> int:
    spans = (min(side, n - a - o * side) for n, a, o in zip(shape, low, octant, strict=True))
    return math.prod(max(0, s) for s in spans)
