"""Connected components of one core: neighbouring voxels of one label that is not 0 are one piece (cc3d's meaning)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cc3d
import numpy as np

from emseg.tasks.arrays.columns import U32, U64, Bool
from emseg.tasks.arrays.kernel import kernel
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.codes import ids_at, require_coded
from emseg.tasks.volume.errors import LayerError, LimitError

TOO_MANY = 0xFFFFFFFF  # voxels whose labels might not fit in uint32


@dataclass(frozen=True)
class Components:
    """Pieces of one core.

    labels_ZYX: uint32 over the core, 0 background. piece_ids: uint64[n] of labels 1..n, ascending; id = 1 + code of the
    least voxel. voxels, values: uint64[n], size and label value of each.
    """

    labels_ZYX: U32
    piece_ids: U64
    voxels: U64
    values: U64


def components(values_ZYX: np.ndarray, core: BBox, connectivity: int) -> Components:
    """Components of a core; integers or bool [z, y, x], 0 background; connectivity 6, 18 or 26.

    Raises:
        LayerError: an array of another shape, or no integers. LimitError: a core of 2^32 - 1 voxels or more.
    """
    require_coded(core, "core")
    if values_ZYX.shape != core.shape_ZYX or values_ZYX.dtype.kind not in "uib":
        raise LayerError(
            f"labels of core {core}: {values_ZYX.dtype} {values_ZYX.shape}, need integers {core.shape_ZYX}"
        )
    if core.voxels >= TOO_MANY:
        raise LimitError(
            f"core {core} has {core.voxels} voxels; a leaf holds fewer than {TOO_MANY}: use smaller chunks"
        )
    values_ZYX = np.ascontiguousarray(values_ZYX)  # cc3d 4.1 mislabels views that are one voxel thick
    if values_ZYX.dtype == np.uint64:
        values_ZYX = values_ZYX.view(np.int64)  # cc3d 4.1 fails on a lone voxel of 2^63 or more; equality is the same
    labels_ZYX = cc3d.connected_components(values_ZYX, connectivity=connectivity, out_dtype=np.uint32)
    n = int(labels_ZYX.max())
    first, voxels = np.empty(n, np.int64), np.zeros(n, np.uint64)
    _number(labels_ZYX.reshape(-1), np.zeros(n + 1, np.uint32), first, voxels)
    values = values_ZYX.reshape(-1)[first].astype(np.uint64)
    return Components(labels_ZYX, ids_at(first, core), voxels, values)


def above(image_ZYX: np.ndarray, threshold: float) -> Bool:
    """bool [z, y, x]: where an image is above a threshold, compared exactly; NaN is not."""
    bound = math.floor(threshold) if image_ZYX.dtype.kind in "uib" else np.float64(threshold)
    out: Bool = image_ZYX > bound
    return out


@kernel
def _number(flat: Any, new: Any, first: Any, voxels: Any) -> None:
    """Number labels anew in raster order of their first voxel, in place; note its index, and count voxels."""
    n = 0
    for i in range(len(flat)):
        label = flat[i]
        if label == 0:
            continue
        if new[label] == 0:
            first[n] = i
            n += 1
            new[label] = n
        flat[i] = new[label]
        voxels[new[label] - 1] += np.uint64(1)
