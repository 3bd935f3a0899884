"""The denoising network: a U-Net with batch norm (Ronneberger et al. 2015, as Noise2Void uses it, Krull et al. 2019).

N2V2 (Höck et al. 2022) pools with max-blur-pool (Zhang 2019) and has no skip at the finest level: no checkerboard.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from emseg.models.reach import AxisShape

KIND = "denoise_unet"
DEPTHS, FEATURE_LIMIT, CHANNEL_LIMIT = (1, 2, 3, 4), 128, 512
MOMENTUM = 0.05
Triple = tuple[int, int, int]


@dataclass(frozen=True)
class DenoiseShape:
    """Parameters of the network.

    Attributes:
        dims: 2 looks at each section alone, 3 at the volume.
        depth: how often it pools.
        features: channels of the finest level; each pool doubles them.
        n2v2: blurred pools, no skip at the finest level.
        pool_z: whether pools halve z too; False for thick sections. Always False with dims 2.
        residual: whether the network adds its output to its input.
    """

    dims: int = 2
    depth: int = 2
    features: int = 32
    n2v2: bool = False
    pool_z: bool = True
    residual: bool = False

    @classmethod
    def parsed(cls, architecture: Mapping[str, Any]) -> DenoiseShape:
        """Shape from a spec's `architecture`.

        Raises:
            ValueError: an unknown key or a value out of range.
        """
        values = {key: value for key, value in architecture.items() if key != "kind"}
        if strange := sorted(set(values) - set(cls.__dataclass_fields__)):
            raise ValueError(f"architecture: unknown keys {', '.join(strange)}")
        shape = cls(**values)
        for name, allowed in (("dims", (2, 3)), ("depth", DEPTHS), ("features", range(1, FEATURE_LIMIT + 1))):
            if type(getattr(shape, name)) is not int or getattr(shape, name) not in allowed:
                raise ValueError(f"architecture: {name} {values[name]!r} must lie in {min(allowed)}..{max(allowed)}")
        if any(type(getattr(shape, name)) is not bool for name in ("n2v2", "pool_z", "residual")):
            raise ValueError("architecture: n2v2, pool_z and residual must be true or false")
        if shape.features << shape.depth > CHANNEL_LIMIT:
            raise ValueError(f"architecture: features · 2^depth must not pass {CHANNEL_LIMIT}")
        return shape

    @property
    def axes(self) -> tuple[AxisShape, AxisShape, AxisShape]:
        """The network along x, y and z."""
        flat = AxisShape(self.depth, 1, 2, self.n2v2, not self.n2v2)
        factor = 2 if self.dims == 3 and self.pool_z else 1
        return flat, flat, AxisShape(self.depth, 1 if self.dims == 3 else 0, factor, self.n2v2, not self.n2v2)

    @property
    def multiple_xyz(self) -> Triple:
        """What sides of windows and steps of the lattice must be multiples of."""
        x, y, z = (axis.multiple for axis in self.axes)
        return (x, y, z)

    @property
    def halo_xyz(self) -> Triple:
        """The least halo, in whole cells of 2^depth, that makes windows exact."""
        x, y, z = (axis.halo for axis in self.axes)
        return (x, y, z)


class DenoiseUNet(nn.Module):
    """Normalised grey values of a clean image.

    float32 [n, channels, z, y, x], sides as `DenoiseShape.multiple_xyz` -> float32 of the same shape. With dims 2 the
    sections are folded into the batch.
    """

    def __init__(self, shape: DenoiseShape, channels: int) -> None:
        super().__init__()
        self.shape = shape
        widths = [shape.features << level for level in range(shape.depth + 1)]
        entries = [channels, *widths]
        self.down = nn.ModuleList(_block(shape.dims, a, b) for a, b in zip(entries, widths, strict=False))
        joined = [below + (0 if shape.n2v2 and level == 0 else here) for level, (here, below) in self._pairs(widths)]
        self.up = nn.ModuleList(_block(shape.dims, a, b) for a, b in zip(joined, widths, strict=False))
        self.head = _convolution(shape.dims)(widths[0], channels, 1)
        factor = (2,) * shape.dims if shape.dims == 2 or shape.pool_z else (1, 2, 2)
        self.factor: tuple[int, ...] = factor

    def forward(self, x: Tensor) -> Tensor:
        """Denoise a batch of windows."""
        if self.shape.dims == 3:
            return self._denoised(x)
        n, c, z, h, w = x.shape
        flat = self._denoised(x.transpose(1, 2).reshape(n * z, c, h, w))
        return flat.reshape(n, z, c, h, w).transpose(1, 2)

    def _denoised(self, given: Tensor) -> Tensor:
        x, skips = given, []
        for level, block in enumerate(self.down):
            if level:
                skips.append(x)
                x = blur_pool(x, self.factor) if self.shape.n2v2 else self._pooled(x)
            x = block(x)
        for level in reversed(range(self.shape.depth)):
            x = functional.interpolate(x, scale_factor=tuple(map(float, self.factor)), mode="nearest")
            skip = skips.pop()
            x = self.up[level](x if self.shape.n2v2 and level == 0 else torch.cat([x, skip], 1))
        out: Tensor = self.head(x)
        return given + out if self.shape.residual else out

    def _pooled(self, x: Tensor) -> Tensor:
        pool = functional.max_pool2d if self.shape.dims == 2 else functional.max_pool3d
        out: Tensor = pool(x, self.factor)
        return out

    @staticmethod
    def _pairs(widths: list[int]) -> list[tuple[int, tuple[int, int]]]:
        return list(enumerate(itertools.pairwise(widths)))


def blur_pool(x: Tensor, factor: tuple[int, ...]) -> Tensor:
    """Max over two neighbours, blur by [1, 2, 1] / 4, every second voxel; on the axes whose factor is 2 (Zhang 2019).

    float [n, c, *space] -> float [n, c, *(space / factor)]. Output j sees inputs 2j − 1 … 2j + 2; edges are repeated.
    """
    pads = [side for f in reversed(factor) for side in (f - 1, f - 1)]
    x = functional.pad(x, pads, mode="replicate")
    halved = [axis for axis, f in enumerate(factor, 2) if f == 2]
    for axis in halved:  # slices: torch's own pools of step 1 take six times as long on CPUs
        x = torch.maximum(x.narrow(axis, 0, x.shape[axis] - 1), x.narrow(axis, 1, x.shape[axis] - 1))
    for axis in halved:
        left, middle, right = (_every_second(x, axis, first) for first in range(3))
        x = (left + right) * 0.25 + middle * 0.5
    return x


def _every_second(x: Tensor, axis: int, first: int) -> Tensor:
    count = (x.shape[axis] - 1) // 2
    return x.narrow(axis, first, 2 * count - 1)[(slice(None),) * axis + (slice(None, None, 2),)]


def _convolution(dims: int) -> type[nn.Conv2d] | type[nn.Conv3d]:
    return nn.Conv2d if dims == 2 else nn.Conv3d


def _block(dims: int, inputs: int, outputs: int) -> nn.Sequential:
    """Twice convolution of size 3, batch norm and ReLU."""
    norm = nn.BatchNorm2d if dims == 2 else nn.BatchNorm3d
    parts: list[nn.Module] = []
    for width in (inputs, outputs):
        convolution = _convolution(dims)(width, outputs, 3, padding=1, bias=False)
        parts += [convolution, norm(outputs, momentum=MOMENTUM), nn.ReLU(inplace=True)]
    return nn.Sequential(*parts)


def build(architecture: Mapping[str, Any], in_channels: int, out_channels: int) -> nn.Module:
    """The network of an architecture of this kind.

    Raises:
        ValueError: it would mix channels.
    """
    if in_channels != 1 or out_channels != 1:
        raise ValueError("architecture: a denoiser takes one channel; train one model per channel")
    return DenoiseUNet(DenoiseShape.parsed(architecture), in_channels)
