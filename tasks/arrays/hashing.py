"""The hash of our tables: a product with the bits of the golden ratio, folded, and once more (Knuth, TAOCP 3, 6.4)."""

from __future__ import annotations

from typing import Any

import numpy as np

from emseg.tasks.arrays.kernel import kernel

MIX = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio
PLACE_AT = np.uint64(20)  # the bits of a hash from here on say where to look first: each sees all bits below it


@kernel
def mixed(word: Any) -> Any:
    """uint64 hash of a word: ids of a plane are a regular lattice, which one product alone would keep."""
    h = word * MIX
    return (h ^ (h >> np.uint64(32))) * MIX
