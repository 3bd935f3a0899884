"""Grids of chunks: cores that tile a box, their keys, and which cores meet a box.

A grid is anchored at bbox.min; the last core of each axis is cut by the bbox. Everything is arithmetic on indices:
a grid of 30 million chunks costs no memory.

Chunks may overlap: each starts `chunk_vx` after the one before and reaches `overlap_vx` beyond that. Cores still tile
the box: two of them meet in the middle of the overlap, the first and the last one reach the box's sides.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from emseg.tasks.volume.bbox import BBox, Vec, vec
from emseg.tasks.volume.errors import ConfigError

INDEX = r"(0|[1-9]\d{0,6})"  # one way to write each number, so that a task has one key
KEY = re.compile(f"{INDEX}_{INDEX}_{INDEX}", re.ASCII)


@dataclass(frozen=True)
class Grid:
    """Chunks of `chunk_vx` (x, y, z), and `overlap_vx` more, over `bbox`."""

    bbox: BBox
    chunk_vx: Vec
    overlap_vx: Vec = (0, 0, 0)

    def __post_init__(self) -> None:
        if self.bbox.empty:
            raise ConfigError(f"grid over {self.bbox}: the box is empty; give one with at least one voxel on each axis")
        if min(self.chunk_vx) < 1:
            raise ConfigError(f"chunk_vx {list(self.chunk_vx)}: each side must be at least 1 voxel")
        if min(self.overlap_vx) < 0:
            raise ConfigError(f"overlap_vx {list(self.overlap_vx)}: each must be 0 or more voxels")

    @property
    def shape(self) -> Vec:
        """Number of chunks along x, y, z."""
        return vec(
            [max(1, -(-(s - o) // c)) for s, c, o in zip(self.bbox.size, self.chunk_vx, self.overlap_vx, strict=True)]
        )

    @property
    def anchor(self) -> Vec:
        """Where the first core would start if it were as long as the others."""
        return vec([a + o // 2 for a, o in zip(self.bbox.min, self.overlap_vx, strict=True)])

    def __len__(self) -> int:
        return math.prod(self.shape)

    def core(self, index: Vec) -> BBox:
        """Core of the chunk at `index` (x, y, z)."""
        bounds = zip(*self.bbox, self.anchor, self.chunk_vx, self.shape, index, strict=True)
        sides = [
            (a if i == 0 else o + i * c, b if i == n - 1 else min(b, o + (i + 1) * c)) for a, b, o, c, n, i in bounds
        ]
        return BBox(vec([low for low, _ in sides]), vec([high for _, high in sides]))

    def whole(self, index: Vec) -> BBox:
        """The chunk at `index` with its overlaps."""
        low = [a + i * c for a, i, c in zip(self.bbox.min, index, self.chunk_vx, strict=True)]
        size = [c + o for c, o in zip(self.chunk_vx, self.overlap_vx, strict=True)]
        return BBox.sized(low, size).clipped(self.bbox)

    def seam(self, index: Vec, axis: int) -> BBox:
        """What the chunk at `index` shares with the one below it along an axis (0 x, 1 y, 2 z), as wide as its core."""
        low, high = (list(side) for side in self.core(index))
        low[axis] = self.bbox.min[axis] + index[axis] * self.chunk_vx[axis]
        high[axis] = low[axis] + self.overlap_vx[axis]
        return BBox(vec(low), vec(high)).clipped(self.bbox)

    def index_of(self, key: str) -> Vec:
        """Index of a key x_y_z; refuses one that is not of this grid."""
        match = KEY.fullmatch(key)
        index = vec([int(g) for g in match.groups()]) if match else None
        if index is None or any(i >= n for i, n in zip(index, self.shape, strict=True)):
            raise ConfigError(f"key {key!r} is not of this grid: indices run below {self.shape}, written x_y_z")
        return index

    def place(self, index: Vec) -> int:
        """Number of the chunk at `index`, x fastest."""
        nx, ny, _ = self.shape
        return index[0] + nx * (index[1] + ny * index[2])

    def index(self, place: int) -> Vec:
        """Index of the chunk with this number."""
        nx, ny, _ = self.shape
        return (place % nx, place // nx % ny, place // (nx * ny))

    def indices_meeting(self, box: BBox) -> Iterator[Vec]:
        """Indices of chunks whose core shares a voxel with `box`, x fastest."""
        inside = box.clipped(self.bbox)
        if inside.empty:
            return
        spans = [
            range(min(max((a - o) // c, 0), n - 1), min(max((b - 1 - o) // c, 0), n - 1) + 1)
            for a, b, o, c, n in zip(*inside, self.anchor, self.chunk_vx, self.shape, strict=True)
        ]
        for z, y, x in itertools.product(*reversed(spans)):
            yield (x, y, z)

    def indices(self) -> Iterator[Vec]:
        """All indices in Morton order, so that neighbours in space are neighbours in time."""
        bits = max((n - 1).bit_length() for n in self.shape)
        yield from _morton(self.shape, (0, 0, 0), bits)

    def scaled(self, factor: Vec) -> Grid:
        """Same box, chunks `factor` times as long along x, y, z: a level of a tree."""
        return Grid(self.bbox, vec([c * f for c, f in zip(self.chunk_vx, factor, strict=True)]), self.overlap_vx)


def _morton(shape: Vec, low: Vec, bits: int) -> Iterator[Vec]:
    if any(a >= n for a, n in zip(low, shape, strict=True)):
        return
    if bits == 0:
        yield low
        return
    half = 1 << (bits - 1)
    for dz, dy, dx in itertools.product((0, half), repeat=3):
        yield from _morton(shape, (low[0] + dx, low[1] + dy, low[2] + dz), bits - 1)


def key_of(index: Vec) -> str:
    """Key x_y_z of an index."""
    return "_".join(map(str, index))
