"""Training targets from labels: affinities at any offsets, borders widened in 3-D, and where they may be trusted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emseg.models.symmetry import Offset, edge_slices


def eroded(labels_ZYX: np.ndarray) -> np.ndarray:
    """Labels with every voxel that touches another label across a face set to 0: borders become 2 voxels wide in 3-D.

    Args:
        labels_ZYX: integer [z, y, x]; 0 is unknown, and no other label: nothing is eroded beside it.
    """
    border = np.zeros(labels_ZYX.shape, bool)
    for axis in range(3):
        low = [slice(None)] * 3
        high = [slice(None)] * 3
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        a, b = labels_ZYX[tuple(low)], labels_ZYX[tuple(high)]
        differs = (a != b) & (a != 0) & (b != 0)
        border[tuple(low)] |= differs
        border[tuple(high)] |= differs
    return np.where(border, 0, labels_ZYX)


def affinities(
    labels_ZYX: np.ndarray, offsets: Sequence[Offset], known_ZYX: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Affinity targets and mask.

    Args:
        labels_ZYX: integer [z, y, x]; 0 joins nothing.
        offsets: x, y, z; channel c joins v to v + offsets[c].
        known_ZYX: bool [z, y, x]; an edge with an end that is not known, or outside the crop, is masked out.

    Returns:
        float32 [c, z, y, x] targets 0 or 1, and bool [c, z, y, x] mask.
    """
    shape = (len(offsets), *labels_ZYX.shape)
    target, mask = np.zeros(shape, np.float32), np.zeros(shape, bool)
    for channel, offset in enumerate(offsets):
        here, there = edge_slices(offset, labels_ZYX.shape)
        target[channel][here] = (labels_ZYX[here] == labels_ZYX[there]) & (labels_ZYX[here] != 0)
        mask[channel][here] = known_ZYX[here] & known_ZYX[there]
    return target, mask
