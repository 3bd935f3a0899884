"""Grids of chunks: cores that tile a box, their keys, and which cores meet a box.

A grid is anchored at bbox.min; the last core of each axis is cut by the bbox. Everything is arithmetic on indices:
a grid of 30 million chunks costs no memory.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from emseg.tasks.volume.bbox import BBox, Vec, vec
from emseg.tasks.volume.errors import ConfigError

KEY = re.compile(r"(\d{1,7})_(\d{1,7})_(\d{1,7})")


@dataclass(frozen=True)
class Grid:
    """Chunks of `chunk_vx` (x, y, z) over `bbox`."""

    bbox: BBox
    chunk_vx: Vec

    def __post_init__(self) -> None:
        if self.bbox.empty:
            raise ConfigError(f"grid over {self.bbox}: the box is empty; give one with at least one voxel on each axis")
        if min(self.chunk_vx) < 1:
            raise ConfigError(f"chunk_vx {list(self.chunk_vx)}: each side must be at least 1 voxel")

    @property
    def shape(self) -> Vec:
        """Number of chunks along x, y, z."""
        return vec([-(-s // c) for s, c in zip(self.bbox.size, self.chunk_vx, strict=True)])

    def __len__(self) -> int:
        return math.prod(self.shape)

    def core(self, index: Vec) -> BBox:
        """Core of the chunk at `index` (x, y, z)."""
        low = [a + i * c for a, i, c in zip(self.bbox.min, index, self.chunk_vx, strict=True)]
        return BBox.sized(low, self.chunk_vx).clipped(self.bbox)

    def index_of(self, key: str) -> Vec:
        """Index of a key x_y_z; refuses one that is not of this grid."""
        match = KEY.fullmatch(key)
        index = vec([int(g) for g in match.groups()]) if match else None
        if index is None or any(i >= n for i, n in zip(index, self.shape, strict=True)):
            raise ConfigError(f"key {key!r} is not of this grid: indices run below {self.shape}, written x_y_z")
        return index

    def indices_meeting(self, box: BBox) -> Iterator[Vec]:
        """Indices of chunks whose core shares a voxel with `box`, x fastest."""
        inside = box.clipped(self.bbox)
        if inside.empty:
            return
        spans = [
            range((a - o) // c, (b - 1 - o) // c + 1)
            for a, b, o, c in zip(inside.min, inside.max, self.bbox.min, self.chunk_vx, strict=True)
        ]
        for z, y, x in itertools.product(*reversed(spans)):
            yield (x, y, z)

    def indices(self) -> Iterator[Vec]:
        """All indices in Morton order, so that neighbours in space are neighbours in time."""
        bits = max((n - 1).bit_length() for n in self.shape)
        yield from _morton(self.shape, (0, 0, 0), bits)

    def scaled(self, factor: Vec) -> Grid:
        """Same box, chunks `factor` times as long along x, y, z: a level of a tree."""
        return Grid(self.bbox, vec([c * f for c, f in zip(self.chunk_vx, factor, strict=True)]))


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
