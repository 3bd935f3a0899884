"""The merge tree over a grid of leaves: which nodes are whose children, and which leaves meet inside a node.

Level 0 are the leaves. Every level joins `fan_out` nodes along some axes:
1. Short nodes grow first: an axis waits while the nodes are twice as long along it as along the shortest open axis, so
   that nodes of anisotropic leaves soon are cubes, and the axes with more leaves are joined in the last levels.
2. The level that would join the rest along several axes is split into one level an axis, the longest axis last: the
   faces that the root sees are the smallest that there are, and its children few.
Two leaves meet in a face, an edge or a corner, and inside one node: the lowest that holds both.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from emseg.tasks.volume.bbox import BBox, Vec, vec
from emseg.tasks.volume.errors import ConfigError
from emseg.tasks.volume.grid import Grid, key_of


@dataclass(frozen=True)
class Tree:
    """A tree over the leaves of `chunk_vx` in `bbox`; a node joins `fan_out` along each axis of its level.

    Leaves may overlap, by `overlap_vx`.
    """

    bbox: BBox
    chunk_vx: Vec
    fan_out: int = 2
    overlap_vx: Vec = (0, 0, 0)

    def __post_init__(self) -> None:
        if self.fan_out < 2:
            raise ConfigError(f"fan_out {self.fan_out}: a node joins at least 2 along an axis")

    @classmethod
    def of_json(cls, raw: Mapping[str, Any]) -> Tree:
        """Tree of plain values, as a plan has them."""
        box = raw["bbox"]
        return cls(
            BBox.of(box["min"], box["max"]),
            vec(raw["chunk_vx"]),
            int(raw.get("fan_out", 2)),
            vec(raw.get("overlap_vx", (0, 0, 0))),
        )

    @property
    def leaves(self) -> Grid:
        """The grid of leaves."""
        return Grid(self.bbox, self.chunk_vx, self.overlap_vx)

    @cached_property
    def factors(self) -> tuple[Vec, ...]:
        """How many nodes of the level below levels 1, 2, … join along x, y, z; at least one level."""
        shape, length = list(self.leaves.shape), list(self.chunk_vx)
        out: list[list[int]] = []
        while max(shape) > 1:
            still = [axis for axis in range(3) if shape[axis] > 1]
            shortest = min(length[axis] for axis in still)
            out.append([1, 1, 1])
            for axis in still:
                if length[axis] < 2 * shortest:
                    out[-1][axis] = self.fan_out
                    shape[axis], length[axis] = -(-shape[axis] // self.fan_out), length[axis] * self.fan_out
        return (*map(vec, out[:-1]), *self._one_axis_a_level(out[-1] if out else [1, 1, 1]))

    def _one_axis_a_level(self, last: list[int]) -> list[Vec]:
        axes = sorted((axis for axis in range(3) if last[axis] > 1), key=lambda axis: (self.bbox.size[axis], -axis))
        return [vec([last[a] if a == axis else 1 for a in range(3)]) for axis in axes] or [(1, 1, 1)]

    @cached_property
    def levels(self) -> int:
        """Level of the root."""
        return len(self.factors)

    def leaves_a_side(self, level: int) -> Vec:
        """Leaves along each axis of a whole node."""
        out = [1, 1, 1]
        for factor in self.factors[:level]:
            out = [a * f for a, f in zip(out, factor, strict=True)]
        return vec(out)

    def nodes(self, level: int) -> Grid:
        """The grid of nodes of a level."""
        return self.leaves.scaled(self.leaves_a_side(level))

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
        below, spans, last = self.leaves_a_side(level - 1), [], []
        for axis, (span, s) in enumerate(zip(self._spans(level, index), step, strict=True)):
            spans.append(range(max(span.start, span.start - s), min(span.stop, span.stop - s)))
            last.append([v for v in spans[axis] if v // below[axis] != (v + s) // below[axis]])
        for axis in range(3):  # the first axis along which the step leaves the child
            earlier = [[v for v in spans[a] if v not in last[a]] for a in range(axis)]
            z, y, x = reversed([*earlier, last[axis], *spans[axis + 1 :]])
            yield from (vec(leaf[::-1]) for leaf in itertools.product(z, y, x))

    def _spans(self, level: int, index: Vec) -> list[range]:
        """Leaves of a node along x, y, z."""
        sides = zip(index, self.leaves_a_side(level), self.leaves.shape, strict=True)
        return [range(i * s, min((i + 1) * s, n)) for i, s, n in sides]

    def faces(self, level: int, index: Vec, axis: int) -> Iterator[tuple[Vec, Vec]]:
        """(lower leaf, upper leaf) of every two leaves that meet on the low side of a node along an axis."""
        spans = self._spans(level, index)
        if spans[axis].start == 0:
            return
        spans[axis] = spans[axis][:1]
        for z, y, x in itertools.product(*reversed(spans)):
            upper = vec([x, y, z])
            yield vec([i - (a == axis) for a, i in enumerate(upper)]), upper


def steps(axes: int) -> list[Vec]:
    """Half of the steps to a neighbour along 1 to `axes` axes, the other half being their opposites; faces first."""
    every = [vec(step[::-1]) for step in itertools.product((-1, 0, 1), repeat=3)]
    upper = [step for step in every if 0 < sum(map(abs, step)) <= axes and step[::-1] > (0, 0, 0)]
    return sorted(upper, key=lambda step: (sum(map(abs, step)), step[::-1]))
