"""Downsample one chunk of a layer into the next mip: mean for images, majority for labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from emseg.tasks.arrays.pyramid import downsampled
from emseg.tasks.base import Task
from emseg.tasks.context import Context
from emseg.tasks.volume.bbox import BBox, Vec, vec
from emseg.tasks.volume.layer import Layer


@dataclass(frozen=True)
class Downsample(Task):
    """One chunk of mip `mip` from mip `mip` − 1; voxel d covers `factor`·d … as far as they lie in the layer.

    Attributes:
        layer: layer to read and to write; its `info` holds the mip already.
        mip: destination; `core` is at this mip.
        factor: reduction x, y, z against mip − 1.
    """

    kind: ClassVar[str] = "downsample"

    layer: str
    mip: int
    factor: Vec = (2, 2, 2)

    def execute(self, context: Context) -> None:
        """Read the finer mip, reduce, write: one layer of storage chunks after the other."""
        fine, coarse = context.layer(self.layer, self.mip - 1), context.layer(self.layer, self.mip)
        (x, y, low), (x_end, y_end, high) = self.core
        for z in range(low, high, coarse.chunk_vx[2]):
            self._slab(fine, coarse, BBox((x, y, z), (x_end, y_end, min(z + coarse.chunk_vx[2], high))))

    def _slab(self, fine: Layer, coarse: Layer, slab: BBox) -> None:
        covered = BBox(
            vec([a * f for a, f in zip(slab.min, self.factor, strict=True)]),
            vec([b * f for b, f in zip(slab.max, self.factor, strict=True)]),
        )
        inside = covered.clipped(fine.bounds)
        before = [a - b for a, b in zip(inside.min, covered.min, strict=True)]
        after = [a - b for a, b in zip(covered.max, inside.max, strict=True)]
        mode = "majority" if fine.kind == "segmentation" else "mean"
        coarse.write(slab, downsampled(fine.read(inside), self.factor, vec(before), vec(after), mode))
