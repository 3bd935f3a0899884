"""Augmentations of a training crop; each takes the generator that decides it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from scipy.ndimage import gaussian_filter  # type: ignore[import-untyped]

from emseg.models.symmetry import Symmetry, turn


def drawn_symmetry(rng: np.random.Generator, alike_ZYX: Sequence[Hashable] = (0, 0, 0)) -> Symmetry:
    """One of the 48 symmetries of a cube; only axes z, y, x that are alike (voxel size, extent) change places."""
    drawn = [int(axis) for axis in rng.permutation(3)]
    flips = (bool(rng.random() < 0.5), bool(rng.random() < 0.5), bool(rng.random() < 0.5))
    of_kind = {kind: iter([a for a in drawn if alike_ZYX[a] == kind]) for kind in alike_ZYX}
    z, y, x = (next(of_kind[kind]) for kind in alike_ZYX)
    return Symmetry((z, y, x), flips)


def turned(symmetry: Symmetry, *arrays_ZYX: np.ndarray) -> list[np.ndarray]:
    """The same symmetry applied to each array."""
    return [np.ascontiguousarray(turn(symmetry, array)) for array in arrays_ZYX]


def recoloured(rng: np.random.Generator, image_ZYX: np.ndarray) -> np.ndarray:
    """Contrast ×0.75–1.25, brightness ±0.15, gamma 0.8–1.25 of a float32 image in [0, 1]."""
    image = (image_ZYX - 0.5) * rng.uniform(0.75, 1.25) + 0.5 + rng.uniform(-0.15, 0.15)
    out: np.ndarray = np.clip(image, 0, 1).astype(np.float32) ** np.float32(rng.uniform(0.8, 1.25))
    return out


def degraded(rng: np.random.Generator, image_ZYX: np.ndarray) -> np.ndarray:
    """Sometimes blurred (σ ≤ 1), often noisy (sd ≤ 0.05), sometimes with a blank section; float32 in [0, 1]."""
    image = image_ZYX
    if rng.random() < 0.1:
        image = gaussian_filter(image, rng.uniform(0.3, 1.0))
    if rng.random() < 0.7:
        image = image + rng.normal(0, rng.uniform(0, 0.05), image.shape).astype(np.float32)
    if rng.random() < 0.1:
        image = image.copy()
        image[rng.integers(len(image))] = 0
    out: np.ndarray = np.clip(image, 0, 1).astype(np.float32)
    return out
