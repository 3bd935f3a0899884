"""Excluded voxels: decided once, at plan time, as whole cells anchored at absolute 0, and the same for every grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emseg.tasks.context import Context
from emseg.tasks.volume.bbox import BBox, Vec
from emseg.tasks.volume.info import reduced


@dataclass(frozen=True)
class Cells:
    """A layer of excluded cells (uint8, 1 = excluded), each `factor` voxels long in x, y, z."""

    layer: str
    factor: Vec


@dataclass(frozen=True)
class Exclusion:
    """All that a run excludes: cells of masks and blanks, and whole z sections."""

    cells: tuple[Cells, ...] = ()
    sections: tuple[int, ...] = ()

    def of(self, context: Context, box: BBox) -> np.ndarray | None:
        """bool [z, y, x] of a box, None if nothing in it is excluded."""
        out = np.zeros(box.shape_ZYX, bool)
        for cells in self.cells:
            out |= _voxels(context, cells, box)
        for z in self.sections:
            if box.min[2] <= z < box.max[2]:
                out[z - box.min[2]] = True
        return out if out.any() else None


def _voxels(context: Context, cells: Cells, box: BBox) -> np.ndarray:
    covering = reduced(box, cells.factor)
    coarse = context.layer(cells.layer).read_ZYX(covering).astype(bool)
    x, y, z = (
        np.arange(a, b) // f - c for a, b, f, c in zip(box.min, box.max, cells.factor, covering.min, strict=True)
    )
    out: np.ndarray = coarse[z[:, None, None], y[None, :, None], x[None, None, :]]
    return out
