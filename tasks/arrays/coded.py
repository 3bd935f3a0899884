"""Affinities as kernels take them: uint16 weights, or uint8 codes with the table of what each weighs.

A volume of codes is half of one of weights. Where the table rises strictly, codes order edges as their weights do, so
thresholds become codes once, and the table is asked only where a weight is summed or handed on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from emseg.tasks.arrays.columns import U8, U16
from emseg.tasks.arrays.kernel import kernel
from emseg.tasks.arrays.sides import weights_box
from emseg.tasks.arrays.weights import LINEAR_UINT8, weights_from_codes
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import LayerError

NO_TABLE: U16 = np.zeros(0, np.uint16)  # of values that are weights


@dataclass(frozen=True)
class Coded:
    """codes: uint8, any shape. table: uint16[256], strictly rising; `affinities_of` makes one where that is so."""

    codes: U8
    table: U16

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the codes."""
        return self.codes.shape

    def __getitem__(self, index: Any) -> Coded:
        return Coded(self.codes[index], self.table)


Affinities = U16 | Coded


class Run(NamedTuple):
    """A volume [c, z, y, x] as one run of memory, so that kernels see contiguous lines in a view, too.

    Voxel (c, z, y, x) is flat[c * step_c + z * step_z + y * step_y + x]. flat: read-only uint8 or uint16; table: of
    codes, or NO_TABLE.
    """

    flat: Any
    step_c: int
    step_z: int
    step_y: int
    table: U16


def affinities_of(values: U8 | U16, table: U16 | None) -> Affinities:
    """Stored values as affinities of the same shape: codes where their table rises strictly, otherwise weights.

    Raises:
        LayerError: as `weights_from_codes`.
    """
    rising = LINEAR_UINT8 if table is None else table
    weights_from_codes(values[..., :0], table)  # refuses what cannot be read
    if values.dtype == np.uint8 and (np.diff(rising.astype(np.int64)) > 0).all():
        return Coded(values.astype(np.uint8, copy=False), rising)
    return weights_from_codes(values, table)


def weights_in(affinities: Affinities) -> U16:
    """uint16 weights, same shape."""
    if isinstance(affinities, Coded):
        weights: U16 = affinities.table[affinities.codes]
        return weights
    return affinities


def require_affinities(affinities: Affinities, core: BBox, bbox: BBox) -> None:
    """Refuse affinities that are not [3, z, y, x] over the box that a core reads.

    Raises:
        LayerError: another shape or dtype.
    """
    values, need = (affinities.codes, "uint8") if isinstance(affinities, Coded) else (affinities, "uint16")
    shape = (3, *weights_box(core, bbox).shape_ZYX)
    if values.dtype != need or values.shape != shape:
        raise LayerError(f"weights of core {core}: {values.dtype} {values.shape}, need {need} {shape}")


def run_of(affinities: Affinities) -> Run:
    """[c, z, y, x] affinities as one run; copies only where voxels of a line do not lie side by side."""
    table = affinities.table if isinstance(affinities, Coded) else NO_TABLE
    values: npt.NDArray[Any] = affinities.codes if isinstance(affinities, Coded) else affinities
    if values.strides[3] != values.itemsize or min(values.strides) < 0:
        values = np.ascontiguousarray(values)
    steps = [s // values.itemsize for s in values.strides[:3]]
    length = 1 + sum(step * (n - 1) for step, n in zip([*steps, 1], values.shape, strict=True))
    flat = as_strided(values, (length if values.size else 0,), (values.itemsize,), writeable=False)
    return Run(flat, steps[0], steps[1], steps[2], table)


@kernel
def line_of(run: Run, c: int, z: int, y: int, x: int, width: int) -> Any:
    """So many values along x."""
    at = c * run.step_c + z * run.step_z + y * run.step_y + x
    return run.flat[at : at + width]


def ordered(affinities: Affinities, w_low: int) -> Affinities:
    """The same, as weights if even code 0, which stands for an edge that is not there, would pass w_low."""
    return weights_in(affinities) if isinstance(affinities, Coded) and affinities.table[0] >= w_low else affinities


def greatest_failing(affinities: Affinities, weight: int) -> np.uint8 | np.uint16:
    """Greatest value of `ordered` affinities that fails a threshold of 1 or more: at the dtype's top, all fail."""
    if isinstance(affinities, Coded):
        return np.uint8(np.searchsorted(affinities.table, weight) - 1)
    return np.uint16(weight - 1)
