"""Reduce an array by integer factors, through tinybrain: mean for images, majority for labels."""

from __future__ import annotations

import itertools

import numpy as np
import tinybrain

from emseg.tasks.volume.bbox import Vec

TINYBRAIN_FACTORS = ((2, 2, 1), (2, 2, 2))  # with others its majority strides, or fails


def downsampled(array_CZYX: np.ndarray, factor: Vec, before_vx: Vec, after_vx: Vec, mode: str) -> np.ndarray:
    """Reduced array [c, z, y, x] of the same dtype.

    Voxels that the outermost cells lack (`before_vx`, `after_vx`; x, y, z) are filled by repeating the edge: along each
    axis every present voxel of such a cell then counts alike, so the mean and the majority of the present ones stand.

    Args:
        array_CZYX: [c, z, y, x].
        factor: x, y, z, each 1 or 2.
        before_vx: voxels that the first cells lack, each below the factor.
        after_vx: voxels that the last cells lack.
        mode: 'mean' or 'majority'.
    """
    pads = [(0, 0), *((b, a) for b, a in zip(reversed(before_vx), reversed(after_vx), strict=True))]
    full = np.pad(array_CZYX, pads, mode="edge") if any(a or b for a, b in pads) else array_CZYX
    if mode == "majority":
        return np.stack([_majority(channel_ZYX, factor) for channel_ZYX in full])
    (reduced,) = tinybrain.downsample_with_averaging(np.asfortranarray(full.T), factor=(*factor, 1), num_mips=1)
    out: np.ndarray = np.ascontiguousarray(np.asarray(reduced).reshape((*reduced.shape[:3], -1)).T)
    return out


def _majority(labels_ZYX: np.ndarray, factor: Vec) -> np.ndarray:
    """Most frequent label of each cell. One channel: of several, tinybrain's majority writes outside its arrays."""
    if factor not in TINYBRAIN_FACTORS:
        return _majority_sorted(labels_ZYX, factor)
    turned = np.asfortranarray(labels_ZYX.T)  # tinybrain is fast on Fortran-order [x, y, z]
    (reduced,) = tinybrain.downsample_segmentation(turned, factor=factor, num_mips=1)
    out: np.ndarray = np.asarray(reduced).reshape(reduced.shape[:3]).T
    return out


def _majority_sorted(labels_ZYX: np.ndarray, factor: Vec) -> np.ndarray:
    """Most frequent label, the least of equals: the longest run of each cell's sorted labels."""
    x, y, z = factor
    nz, ny, nx = (n // f for n, f in zip(labels_ZYX.shape, (z, y, x), strict=True))
    cells = labels_ZYX.reshape(nz, z, ny, y, nx, x).transpose(1, 3, 5, 0, 2, 4).reshape(x * y * z, nz, ny, nx)
    ordered = np.sort(cells, axis=0)
    best: np.ndarray = ordered[0].copy()
    most = np.ones(best.shape, np.int32)
    run = most.copy()
    for before, label in itertools.pairwise(ordered):
        run = np.where(label == before, run + 1, 1)
        best = np.where(run > most, label, best)
        most = np.maximum(run, most)
    return best
