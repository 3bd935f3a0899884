"""Augmentations of a training crop; each takes the generator that decides it."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter  # type: ignore[import-untyped]


def turned(rng: np.random.Generator, *arrays_ZYX: np.ndarray) -> list[np.ndarray]:
    """The same one of the 48 symmetries of a cube applied to each array."""
    order = rng.permutation(3)
    flips = tuple(slice(None, None, -1) if rng.random() < 0.5 else slice(None) for _ in range(3))
    return [np.ascontiguousarray(np.transpose(a, order)[flips]) for a in arrays_ZYX]


def recoloured(rng: np.random.Generator, image_ZYX: np.ndarray) -> np.ndarray:
    """Contrast ×0.75–1.25, brightness ±0.15, gamma 0.8–1.25 of a float32 image in [0, 1]."""
    image = (image_ZYX - 0.5) * rng.uniform(0.75, 1.25) + 0.5 + rng.uniform(-0.15, 0.15)
    out: np.ndarray = np.clip(image, 0, 1).astype(np.float32) ** np.float32(rng.uniform(0.8, 1.25))
    return out


def degraded(rng: np.random.Generator, image_ZYX: np.ndarray) -> np.ndarray:
    """Sometimes blurred (σ ≤ 1), often noisy (sd ≤ 0.05), sometimes with a blank section."""
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
