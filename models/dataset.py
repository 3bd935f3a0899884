"""Training crops: number i of a seed is always the same crop, so a resumed run goes on where it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from emseg.models.augment import degraded, recoloured, turned
from emseg.models.targets import Offset, affinities, eroded

Triple = tuple[int, int, int]


class Volume(Protocol):
    """An image with dense truth; label 0 is unknown."""

    @property
    def shape_ZYX(self) -> Triple:
        """Voxels that may be drawn from."""

    def sample(self, low_ZYX: Triple, size_ZYX: Triple) -> tuple[np.ndarray, np.ndarray]:
        """Image float32 in [0, 1] and labels int64 of a crop, both [z, y, x]."""


@dataclass(frozen=True)
class Crops:
    """What crops look like."""

    volumes: Sequence[Volume]
    size_zyx: Triple
    offsets: Sequence[Offset]
    seed: int

    def example(self, number: int, augment: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Image [1, z, y, x] in [−1, 1], target and mask [c, z, y, x] of crop `number`."""
        rng = np.random.default_rng([self.seed, number])
        volume = self.volumes[int(rng.integers(len(self.volumes)))]
        spare = [n - s for n, s in zip(volume.shape_ZYX, self.size_zyx, strict=True)]
        z, y, x = (int(rng.integers(max(0, n) + 1)) for n in spare)
        image, labels = volume.sample((z, y, x), self.size_zyx)
        if augment:
            image, labels = turned(rng, image, labels)
            image = degraded(rng, recoloured(rng, image))
        target, mask = affinities(eroded(labels), self.offsets, labels > 0)
        return torch.from_numpy((image - 0.5) / 0.5)[None], torch.from_numpy(target), torch.from_numpy(mask)


class TrainingCrops(IterableDataset[tuple[Tensor, Tensor, Tensor]]):
    """Augmented crops from number `first` on."""

    def __init__(self, crops: Crops, first: int = 0) -> None:
        self.crops, self.first = crops, first

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        number = self.first
        while True:
            yield self.crops.example(number, augment=True)
            number += 1


class ValidationCrops(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """A fixed set of crops as they are."""

    def __init__(self, crops: Crops, count: int) -> None:
        self.crops, self.count = crops, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor, Tensor]:
        return self.crops.example(number, augment=False)
