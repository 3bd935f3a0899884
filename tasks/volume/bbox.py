"""Half-open boxes of voxels at one mip. Geometry is x, y, z everywhere; arrays are C-order [c, z, y, x].

Only `BBox.slices_ZYX` and `BBox.shape_ZYX` here, and `layer.py`, cross between the two.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from emseg.tasks.volume.errors import ConfigError

Vec = tuple[int, int, int]


def vec(values: Sequence[int]) -> Vec:
    """Three integers x, y, z."""
    if len(values) != 3:
        raise ConfigError(f"{list(values)} is no x, y, z triple: give three integers")
    return (int(values[0]), int(values[1]), int(values[2]))


@dataclass(frozen=True, order=True)
class BBox:
    """Half-open box [min, max) in voxels, x, y, z."""

    min: Vec
    max: Vec

    @classmethod
    def of(cls, low: Sequence[int], high: Sequence[int]) -> BBox:
        """Box from two corners; refuses an inverted one."""
        box = cls(vec(low), vec(high))
        if any(b < a for a, b in zip(box.min, box.max, strict=True)):
            raise ConfigError(f"bbox {box}: max is below min; give min then max, each x, y, z")
        return box

    @classmethod
    def sized(cls, low: Sequence[int], size: Sequence[int]) -> BBox:
        """Box from its least corner and its size."""
        return cls.of(low, [a + s for a, s in zip(low, size, strict=True)])

    @property
    def size(self) -> Vec:
        """Extent in voxels, x, y, z."""
        return vec([b - a for a, b in zip(self.min, self.max, strict=True)])

    @property
    def voxels(self) -> int:
        """Number of voxels."""
        return math.prod(self.size)

    @property
    def empty(self) -> bool:
        """Whether the box holds no voxel."""
        return any(s <= 0 for s in self.size)

    @property
    def shape_ZYX(self) -> Vec:
        """Array shape [z, y, x]."""
        x, y, z = self.size
        return (z, y, x)

    def padded(self, low: Sequence[int] | int, high: Sequence[int] | int | None = None) -> BBox:
        """Box grown by `low` voxels below and `high` (default: the same) above, per axis or all alike."""
        lo = (low,) * 3 if isinstance(low, int) else low
        hi = lo if high is None else (high,) * 3 if isinstance(high, int) else high
        return BBox(
            vec([a - p for a, p in zip(self.min, lo, strict=True)]),
            vec([b + p for b, p in zip(self.max, hi, strict=True)]),
        )

    def clipped(self, to: BBox) -> BBox:
        """Intersection; an empty one has size 0 on some axis, never a negative size."""
        low = [max(a, b) for a, b in zip(self.min, to.min, strict=True)]
        high = [max(lo, min(a, b)) for lo, a, b in zip(low, self.max, to.max, strict=True)]
        return BBox(vec(low), vec(high))

    def joined(self, other: BBox) -> BBox:
        """Least box that holds both."""
        return BBox(
            vec([min(a, b) for a, b in zip(self.min, other.min, strict=True)]),
            vec([max(a, b) for a, b in zip(self.max, other.max, strict=True)]),
        )

    def meets(self, other: BBox) -> bool:
        """Whether the boxes share a voxel."""
        return not self.clipped(other).empty

    def holds(self, other: BBox) -> bool:
        """Whether `other` lies inside."""
        return self.clipped(other) == other

    def shifted(self, by: Sequence[int]) -> BBox:
        """Box moved by `by`."""
        return BBox.sized([a + d for a, d in zip(self.min, by, strict=True)], self.size)

    def slices_ZYX(self, origin: Sequence[int]) -> tuple[slice, slice, slice]:
        """Slices [z, y, x] of this box in an array whose first voxel is `origin` (x, y, z)."""
        x, y, z = (slice(a - o, b - o) for a, b, o in zip(self.min, self.max, origin, strict=True))
        return (z, y, x)

    def to_json(self) -> list[Vec]:
        """[[x, y, z], [x, y, z]]: least corner, then one past the greatest."""
        return [self.min, self.max]

    def __iter__(self) -> Iterator[Vec]:
        return iter((self.min, self.max))

    def __str__(self) -> str:
        return "{}:{}".format(",".join(map(str, self.min)), ",".join(map(str, self.max)))
