"""Grey levels: a linear stretch, per section, to what a model expects."""

from __future__ import annotations

import numpy as np


def stretched(raw_ZYX: np.ndarray, low_Z: np.ndarray, high_Z: np.ndarray) -> np.ndarray:
    """float32 [z, y, x] in 0..255: `low` becomes 0 and `high` 255, what lies beyond is clipped.

    Args:
        raw_ZYX: uint8 or uint16 [z, y, x].
        low_Z, high_Z: [z]; a section whose levels are equal becomes 0.
    """
    low, high = (levels.astype(np.float32)[:, None, None] for levels in (low_Z, high_Z))
    out: np.ndarray = np.clip(
        (raw_ZYX.astype(np.float32) - low) * (np.float32(255) / np.maximum(high - low, 1)), 0, 255
    )
    out *= high > low
    return out
