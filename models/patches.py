"""Patches of noisy images to train a denoiser on, with blind spots. Number i of a seed is always the same patch.

1. Each volume is cut into cells of the patch's size. At least a tenth of the cells, drawn once, is kept for validation.
2. A training patch lies anywhere, but meets no validation cell. It is turned, then its spots are drawn.
3. A validation patch is a validation cell as it is; its spots are drawn once, from its number.

One image is enough: its pixels' noise is what is learned.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from emseg.models.augment import drawn_symmetry, turned
from emseg.models.blind_spots import BlindSpots
from emseg.models.dataset import Example

Triple = tuple[int, int, int]
Cell = tuple[int, Triple]  # volume, least corner z, y, x
TRIES = 100
VALIDATION_STREAM = 1 << 40


@dataclass(frozen=True)
class Patches:
    """Where patches come from, and what is hidden in them.

    Attributes:
        volumes_ZYX: float32 [z, y, x], normalised.
        size_zyx: of a patch.
        spots: how spots are drawn.
        seed: decides everything.
        alike_zyx: which axes look alike (voxel size): only those change places.
        validation_share: of the cells, at least one cell.
    """

    volumes_ZYX: Sequence[np.ndarray]
    size_zyx: Triple
    spots: BlindSpots
    seed: int
    alike_zyx: tuple[float, float, float] = (1, 1, 1)
    validation_share: float = 0.1
    validation: tuple[Cell, ...] = field(init=False)
    training: tuple[Cell, ...] = field(init=False)

    def __post_init__(self) -> None:
        cells = [(i, cell) for i, volume in enumerate(self.volumes_ZYX) for cell in _cells(volume.shape, self.size_zyx)]
        small = [volume.shape for volume in self.volumes_ZYX if not _cells(volume.shape, self.size_zyx)]
        if small or len(cells) < 2:
            raise ValueError(
                f"patches of {list(self.size_zyx)} z, y, x: {f'a volume of {list(small[0])}' if small else 'one cell'} "
                "is too small to train and to validate on; choose smaller patches"
            )
        kept = max(1, math.ceil(len(cells) * self.validation_share))
        drawn = np.random.default_rng([self.seed, VALIDATION_STREAM]).permutation(len(cells))[:kept]
        object.__setattr__(self, "validation", tuple(cells[i] for i in sorted(drawn)))
        object.__setattr__(self, "training", tuple(c for c in cells if c not in set(self.validation)))

    def example(self, number: int, augment: bool) -> Example:
        """Patch `number`: what the network sees and the noisy target, float32 [1, z, y, x]; spots bool [1, z, y, x]."""
        stream = 0 if augment else VALIDATION_STREAM
        rng = np.random.default_rng([self.seed, stream, number])
        volume, low = self._drawn(rng) if augment else self.validation[number]
        patch = self.volumes_ZYX[volume][tuple(slice(a, a + n) for a, n in zip(low, self.size_zyx, strict=True))]
        if augment:
            (patch,) = turned(drawn_symmetry(rng, self._alike()), patch)
        seen, mask = self.spots.hidden(rng, np.ascontiguousarray(patch))
        parts = (seen, np.ascontiguousarray(patch), mask)
        image, target, spots = (torch.from_numpy(part)[None] for part in parts)
        return image, target, spots

    def _alike(self) -> list[tuple[float, int, bool]]:
        """Axes may change places if alike in voxel, extent, and in whether noise is correlated along them."""
        hidden = [axis == self.spots.axis for axis in range(3)]
        alike = list(zip(self.alike_zyx, self.size_zyx, hidden, strict=True))
        return alike if self.spots.dims == 3 else [(0.0, 0, False), *alike[1:]]

    def _drawn(self, rng: np.random.Generator) -> Cell:
        """A place that meets no validation cell; after many tries a training cell."""
        for _ in range(TRIES):
            volume = self.training[int(rng.integers(len(self.training)))][0]
            spare = [n - s for n, s in zip(self.volumes_ZYX[volume].shape, self.size_zyx, strict=True)]
            z, y, x = (int(rng.integers(n + 1)) for n in spare)
            if not any(volume == v and self._meets((z, y, x), low) for v, low in self.validation):
                return volume, (z, y, x)
        return self.training[int(rng.integers(len(self.training)))]

    def _meets(self, a: Triple, b: Triple) -> bool:
        return all(abs(p - q) < n for p, q, n in zip(a, b, self.size_zyx, strict=True))


def _cells(shape: tuple[int, ...], size: Triple) -> list[Triple]:
    """Least corners z, y, x of the cells that fit."""
    steps = [range(0, n - s + 1, s) for n, s in zip(shape, size, strict=True)]
    return list(itertools.product(*steps))  # type: ignore[arg-type]
