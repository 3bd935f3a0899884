"""Training crops: number i of a seed is always the same crop, so a resumed run goes on where it was."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, distributed
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from emseg.models.augment import degraded, drawn_symmetry, recoloured, turned
from emseg.models.symmetry import Offset
from emseg.models.targets import affinities, eroded

Triple = tuple[int, int, int]
Example = tuple[Tensor, Tensor, Tensor]


class Volume(Protocol):
    """An image with dense truth; label 0 is unknown."""

    @property
    def shape_ZYX(self) -> Triple:
        """Voxels that may be drawn from."""

    def sample(self, low_ZYX: Triple, size_ZYX: Triple) -> tuple[np.ndarray, np.ndarray]:
        """Image float32 in [0, 1] and labels int64 of a crop, both [z, y, x]."""


class Examples(Protocol):
    """Numbered examples: number i is always the same."""

    def example(self, number: int, augment: bool) -> Example:
        """Example `number`, to train on (augmented) or to validate on (as it is)."""


@dataclass(frozen=True)
class Crops:
    """What crops look like: their size z, y, x; the channels' offsets x, y, z; which axes z, y, x are alike."""

    volumes: Sequence[Volume]
    size_zyx: Triple
    offsets: Sequence[Offset]
    seed: int
    alike_zyx: tuple[float, float, float] = (1, 1, 1)

    def __post_init__(self) -> None:
        for volume in self.volumes:
            if any(n < s for n, s in zip(volume.shape_ZYX, self.size_zyx, strict=True)):
                raise ValueError(
                    f"a crop of {list(self.size_zyx)} does not fit a box of {list(volume.shape_ZYX)} z, y, x"
                )

    def example(self, number: int, augment: bool) -> Example:
        """Crop `number`: image float32 [1, z, y, x] in [−1, 1], target float32 and mask bool [c, z, y, x]."""
        rng = np.random.default_rng([self.seed, number])
        volume = self.volumes[int(rng.integers(len(self.volumes)))]
        spare = [n - s for n, s in zip(volume.shape_ZYX, self.size_zyx, strict=True)]
        z, y, x = (int(rng.integers(n + 1)) for n in spare)
        image, labels = volume.sample((z, y, x), self.size_zyx)
        if augment:
            symmetry = drawn_symmetry(rng, list(zip(self.alike_zyx, self.size_zyx, strict=True)))
            image, labels = turned(symmetry, image, labels)
            image = degraded(rng, recoloured(rng, image))
        target, mask = affinities(eroded(labels), self.offsets, labels > 0)
        return torch.from_numpy((image - 0.5) / 0.5)[None], torch.from_numpy(target), torch.from_numpy(mask)


class TrainingCrops(IterableDataset[Example]):
    """Augmented crops of the steps from `first_step` on.

    A crop's number comes from step, process and place in the batch alone: loader processes and resuming change nothing.
    """

    def __init__(self, crops: Examples, batch: int, first_step: int = 0) -> None:
        self.crops, self.batch, self.first_step = crops, batch, first_step

    def __iter__(self) -> Iterator[Example]:
        spread = distributed.is_available() and distributed.is_initialized()
        rank, ranks = (distributed.get_rank(), distributed.get_world_size()) if spread else (0, 1)
        info = get_worker_info()
        loader, loaders = (info.id, info.num_workers) if info is not None else (0, 1)
        for step in itertools.count(self.first_step + loader, loaders):
            for place in range(self.batch):
                yield self.crops.example((step * ranks + rank) * self.batch + place, augment=True)


class ValidationCrops(Dataset[Example]):
    """A fixed set of crops as they are."""

    def __init__(self, crops: Examples, count: int) -> None:
        self.crops, self.count = crops, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Example:
        return self.crops.example(number, augment=False)
