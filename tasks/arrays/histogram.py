"""Integer histograms of grey values, section by section, and the levels that follow; sums over chunks are exact."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

VALUES = {"uint8": 256, "uint16": 65536}


def section_histograms(raw_ZYX: np.ndarray) -> np.ndarray:
    """int64 [z, values]: how often each grey value occurs in each section of a uint8 or uint16 array [z, y, x]."""
    bins = VALUES[raw_ZYX.dtype.name]
    return np.stack([np.bincount(section.ravel(), minlength=bins) for section in raw_ZYX])


@dataclass(frozen=True)
class Levels:
    """Levels of one histogram: greatest values with at most a share below, and mean and standard deviation."""

    low: int
    high: int
    mean: float
    std: float


def levels_of(histogram: np.ndarray, low_share: float, high_share: float, skip_zero: bool = True) -> Levels:
    """Levels of int64 [values]; value 0 (padding) is left out unless it is all there is.

    Args:
        histogram: counts by grey value.
        low_share, high_share: of the voxels, in [0, 1].
        skip_zero: leave value 0 out.
    """
    counts = histogram.astype(np.int64).copy()
    if skip_zero and counts[1:].any():
        counts[0] = 0
    total = int(counts.sum())
    if total == 0:
        return Levels(0, 0, 0.0, 0.0)
    below = np.cumsum(counts)
    low, high = (int(np.searchsorted(below, max(1, int(np.ceil(share * total))))) for share in (low_share, high_share))
    values = np.arange(len(counts), dtype=object)
    first, second = int((values * counts).sum()), int((values * values * counts).sum())
    mean = first / total
    return Levels(low, high, mean, max(0.0, second / total - mean * mean) ** 0.5)
