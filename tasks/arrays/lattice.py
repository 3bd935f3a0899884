"""Inference that does not see the grid: patches start at stride·k + phase in absolute voxels, whatever the chunk.

1. A chunk computes every patch whose inner window (patch less the discarded halo) meets its core.
2. Patches are taken in z, y, x order of their starts; each is weighted and added in float32, in that order.
3. The sum is divided by the analytic weight: what all patches of the lattice that cover a voxel weigh together.

So neither the set nor the order of what is added to a voxel depends on the chunk. Only beyond the source's bounds are
coordinates folded: reflected without repeating the edge, any number of times.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from emseg.tasks.volume.bbox import BBox, Vec, vec

Network = Callable[[np.ndarray], np.ndarray]
Reader = Callable[[BBox], np.ndarray]


@dataclass(frozen=True)
class Lattice:
    """Where patches lie: all x, y, z in voxels. `stride_vx` ≤ patch − 2·halo, so that every voxel is covered."""

    patch_vx: Vec
    stride_vx: Vec
    halo_vx: Vec
    phase_vx: Vec = (0, 0, 0)

    @property
    def inner_vx(self) -> Vec:
        """Size of the part of a patch that counts."""
        return vec([p - 2 * h for p, h in zip(self.patch_vx, self.halo_vx, strict=True)])

    def starts(self, axis: int, low: int, high: int) -> range:
        """Starts of the patches whose inner window meets [low, high) on one axis."""
        step, first = self.stride_vx[axis], self.phase_vx[axis] + self.halo_vx[axis]
        inner = self.inner_vx[axis]
        begin = (low - first - inner) // step + 1
        end = -((first - high) // step)
        return range(begin * step + self.phase_vx[axis], end * step + self.phase_vx[axis], step)

    def patches(self, core: BBox) -> Iterator[BBox]:
        """Patches that a core needs, in z, y, x order of their starts."""
        x, y, z = (self.starts(axis, core.min[axis], core.max[axis]) for axis in range(3))
        for start in itertools.product(z, y, x):
            yield BBox.sized(start[::-1], self.patch_vx)

    def ramp(self, axis: int) -> np.ndarray:
        """float32 [patch]: weight of a patch along one axis; linear over the overlap, 0 in the halo."""
        overlap = self.inner_vx[axis] - self.stride_vx[axis]
        place = np.arange(self.inner_vx[axis], dtype=np.float32) + np.float32(0.5)
        edge = np.minimum(place, place[::-1]) / np.float32(max(overlap, 1))
        out = np.zeros(self.patch_vx[axis], np.float32)
        out[self.halo_vx[axis] : self.patch_vx[axis] - self.halo_vx[axis]] = np.minimum(edge, 1) if overlap else 1
        return out

    def weight(self, axis: int, low: int, high: int) -> np.ndarray:
        """float32 [high − low]: what all patches that cover a place weigh together, along one axis."""
        total = np.zeros(high - low, np.float32)
        ramp = self.ramp(axis)
        for start in self.starts(axis, low, high):
            a, b = max(low, start), min(high, start + self.patch_vx[axis])
            total[a - low : b - low] += ramp[a - start : b - start]
        return total

    @property
    def overlaps(self) -> bool:
        """Whether any voxel is covered by more than one patch."""
        return self.inner_vx != self.stride_vx


def folded(start: int, stop: int, low: int, high: int) -> np.ndarray:
    """int64 [stop − start]: places folded into [low, high) by reflection without repeating the edge."""
    period = max(2 * (high - low - 1), 1)
    place = np.abs((np.arange(start, stop, dtype=np.int64) - low + high - low - 1) % period - (high - low - 1))
    return low + place


def read_folded(read: Reader, box: BBox, bounds: BBox) -> np.ndarray:
    """Array [..., z, y, x] of a box that may leave the source's bounds."""
    places = [folded(a, b, lo, hi) for a, b, lo, hi in zip(box.min, box.max, *bounds, strict=True)]
    inside = BBox(vec([int(p.min()) for p in places]), vec([int(p.max()) + 1 for p in places]))
    array = read(inside)
    x, y, z = (p - a for p, a in zip(places, inside.min, strict=True))
    return array if inside == box else array[..., z[:, None, None], y[None, :, None], x[None, None, :]]


def infer(
    core: BBox, lattice: Lattice, read: Reader, bounds: BBox, network: Network, *, channels: int, batch: int
) -> np.ndarray:
    """Blended network output over a core.

    Args:
        core: box to compute.
        lattice: where patches lie.
        read: gives float32 [z, y, x], normalised, of any box inside `bounds`.
        bounds: the source's bounds.
        network: float32 [n, 1, z, y, x] -> float32 [n, channels, z, y, x].
        channels: of the output.
        batch: patches given to the network at once.

    Returns:
        float32 [channels, z, y, x].
    """
    total = np.zeros((channels, *core.shape_ZYX), np.float32)
    ramps = [lattice.ramp(axis) for axis in range(3)]
    weight = ramps[2][:, None, None] * ramps[1][None, :, None] * ramps[0][None, None, :]
    source = _slab_reader(read, lattice, core, bounds)
    for group in _grouped(lattice.patches(core), batch):
        outputs = network(np.stack([source(box)[None] for box in group]))
        for box, output in zip(group, outputs, strict=True):
            part = box.clipped(core)
            inside = part.slices_ZYX(box.min)
            total[:, *part.slices_ZYX(core.min)] += output[:, *inside] * weight[inside]
    if lattice.overlaps:
        x, y, z = (lattice.weight(axis, core.min[axis], core.max[axis]) for axis in range(3))
        total /= z[:, None, None] * y[None, :, None] * x[None, None, :]
    return total


def _slab_reader(read: Reader, lattice: Lattice, core: BBox, bounds: BBox) -> Reader:
    """Reader of patches, in z order of their starts: keeps the last z-slab of the lattice, reads only new planes."""
    x, y = (lattice.starts(axis, core.min[axis], core.max[axis]) for axis in range(2))
    low, high = (x[0], y[0]), (x[-1] + lattice.patch_vx[0], y[-1] + lattice.patch_vx[1])
    slab: list[tuple[int, np.ndarray]] = []

    def moved(begin: int, end: int) -> np.ndarray:
        """Planes [begin, end) of the lattice's columns."""
        kept = [slab[0][1][begin - slab[0][0] :]] if slab else []
        new = begin + sum(map(len, kept))
        kept.append(read_folded(read, BBox((*low, new), (*high, end)), bounds))
        return np.concatenate(kept)

    def patch(box: BBox) -> np.ndarray:
        if not slab or slab[0][0] != box.min[2]:
            slab[:] = [(box.min[2], moved(box.min[2], box.max[2]))]
        out: np.ndarray = slab[0][1][box.slices_ZYX((*low, box.min[2]))]
        return out

    return patch


def _grouped(boxes: Iterator[BBox], size: int) -> Iterator[list[BBox]]:
    while group := list(itertools.islice(boxes, size)):
        yield group
