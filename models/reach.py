"""How far a U-Net looks along one axis, by propagating dependencies from an output voxel back to the input.

Every layer maps the interval of voxels that is needed behind it to the interval that is needed before it:

1. A convolution of radius r widens it by r on both sides.
2. A pool maps voxel j to 2j … 2j + 1; a blurred pool (N2V2) to 2j − 1 … 2j + 2.
3. Nearest up-sampling maps voxel i to floor(i / 2); a skip leaves it.

The pooling lattice makes the answer depend on the voxel's place in a cell of 2^depth. The reach is the largest over the
cell. The halo is less: where a window's inner part is whole cells, a voxel inside a cell lies that much farther from
its rim.
"""

from __future__ import annotations

from dataclasses import dataclass

CONVOLUTIONS = 2  # of each block
Interval = tuple[int, int]


@dataclass(frozen=True)
class AxisShape:
    """A U-Net along one axis: kernel radius 0 or 1, reduction of each pool 1 or 2, and what N2V2 changes."""

    depth: int
    radius: int
    factor: int
    blurred: bool
    top_skip: bool

    @property
    def multiple(self) -> int:
        """What a window's side and the lattice's step must be multiples of."""
        return int(self.factor**self.depth)

    @property
    def reach(self) -> int:
        """Greatest distance, in voxels, of an input voxel that an output voxel depends on."""
        needed = [(x, self._decoded(0, (x, x))) for x in range(self.multiple)]
        return max(max(x - low, high - x) for x, (low, high) in needed)

    @property
    def halo(self) -> int:
        """Voxels that whole cells need beyond their rim, rounded up to whole cells."""
        needed = [self._decoded(0, (x, x)) for x in range(self.multiple)]
        beyond = max(max(-low, high - (self.multiple - 1)) for low, high in needed)
        return -(-beyond // self.multiple) * self.multiple

    def _widened(self, at: Interval) -> Interval:
        spread = CONVOLUTIONS * self.radius
        return at[0] - spread, at[1] + spread

    def _encoded(self, level: int, at: Interval) -> Interval:
        """Input needed for the encoder's output at a level."""
        low, high = self._widened(at)
        if level == 0:
            return low, high
        extra = 1 if self.blurred and self.factor > 1 else 0
        return self._encoded(level - 1, (low * self.factor - extra, (high + 1) * self.factor - 1 + extra))

    def _decoded(self, level: int, at: Interval) -> Interval:
        """Input needed for the decoder's output at a level."""
        if level == self.depth:
            return self._encoded(level, at)
        low, high = self._widened(at)
        below = self._decoded(level + 1, (low // self.factor, high // self.factor))
        if level == 0 and not self.top_skip:
            return below
        beside = self._encoded(level, (low, high))
        return min(below[0], beside[0]), max(below[1], beside[1])
