"""Reduce an array by integer factors, through tinybrain: mean for images, majority for labels."""

from __future__ import annotations

import numpy as np
import tinybrain

from emseg.tasks.volume.bbox import Vec


def downsampled(array_CZYX: np.ndarray, factor: Vec, before_vx: Vec, after_vx: Vec, mode: str) -> np.ndarray:
    """Reduced array [c, z, y, x] of the same dtype.

    Voxels that the outermost cells lack (`before_vx`, `after_vx`; x, y, z) are filled by repeating the edge: along each
    axis every present voxel of such a cell then counts alike, so the mean and the majority of the present ones stand.

    Args:
        array_CZYX: [c, z, y, x].
        factor: x, y, z.
        before_vx: voxels that the first cells lack, each below the factor.
        after_vx: voxels that the last cells lack.
        mode: 'mean' or 'majority'.
    """
    pads = [(0, 0), *((b, a) for b, a in zip(reversed(before_vx), reversed(after_vx), strict=True))]
    full = np.pad(array_CZYX, pads, mode="edge") if any(a or b for a, b in pads) else array_CZYX
    turned = np.asfortranarray(full.T)  # tinybrain is fast on Fortran-order [x, y, z, c]
    if mode == "majority":
        (reduced,) = tinybrain.downsample_segmentation(turned, factor=(*factor, 1), num_mips=1)
    else:
        (reduced,) = tinybrain.downsample_with_averaging(turned, factor=(*factor, 1), num_mips=1)
    out: np.ndarray = np.ascontiguousarray(np.asarray(reduced).reshape((*reduced.shape[:3], -1)).T)
    return out
