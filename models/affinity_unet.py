"""The affinity network: a residual symmetric 3-D U-Net with added skips (after Lee et al. 2017, arXiv:1706.00120)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from emseg.models.bricks import Block, Kernel

KIND = "residual_unet"
WIDTH_LIMIT, LEVEL_LIMIT = 512, 6


@dataclass(frozen=True)
class UNetShape:
    """Parameters of the network.

    Attributes:
        widths: channels of each level, finest first.
        plain: for each level, whether its blocks have no residual pair. A plain finest level halves the time.
        flat: for each level, whether its kernels are 1×3×3 and the pool after it 1×2×2 (thick sections).
        entry: size of the first kernel: 3 or 5.
    """

    widths: tuple[int, ...]
    plain: tuple[bool, ...]
    flat: tuple[bool, ...]
    entry: int = 5

    @classmethod
    def parsed(cls, architecture: Mapping[str, Any]) -> UNetShape:
        """Shape from a spec's `architecture`.

        Raises:
            ValueError: an unknown key or a value out of range.
        """
        values = {key: value for key, value in architecture.items() if key != "kind"}
        widths = values.pop("widths", None)
        if not _is_list(widths, int) or not all(1 <= w <= WIDTH_LIMIT for w in widths) or len(widths) > LEVEL_LIMIT:
            raise ValueError(f"architecture: widths {widths!r} must be 1..{LEVEL_LIMIT} numbers up to {WIDTH_LIMIT}")
        plain, flat = (values.pop(key, [False] * len(widths)) for key in ("plain", "flat"))
        entry = values.pop("entry", 5)
        if values:
            raise ValueError(f"architecture: unknown keys {', '.join(sorted(values))}")
        if not all(_is_list(x, bool) and len(x) == len(widths) for x in (plain, flat)) or entry not in (3, 5):
            raise ValueError("architecture: plain and flat need a true or false for each width; entry must be 3 or 5")
        return cls(tuple(widths), tuple(plain), tuple(flat), entry)

    @property
    def multiple_xyz(self) -> tuple[int, int, int]:
        """What a patch's sides must be multiples of, x, y, z."""
        pools = self.flat[:-1]
        return (2 ** len(pools), 2 ** len(pools), 2 ** pools.count(False))


def _is_list(value: Any, kind: type) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0 and all(type(v) is kind for v in value)


class AffinityUNet(nn.Module):
    """Logits of affinities.

    float32 [n, in_channels, z, y, x], sides as `UNetShape.multiple_xyz` -> float32 [n, out_channels, z, y, x].
    """

    def __init__(self, shape: UNetShape, in_channels: int, out_channels: int) -> None:
        super().__init__()
        widths = shape.widths
        kernels: list[Kernel] = [(1, 3, 3) if flat else (3, 3, 3) for flat in shape.flat]
        first: Kernel = (1 if shape.flat[0] else shape.entry, shape.entry, shape.entry)
        self.pools: list[Kernel] = [(1, 2, 2) if flat else (2, 2, 2) for flat in shape.flat[:-1]]
        self.down = nn.ModuleList(
            Block(inputs, width, kernel if i else first, kernel, plain=plain)
            for i, (inputs, width, kernel, plain) in enumerate(
                zip((in_channels, *widths), widths, kernels, shape.plain, strict=False)
            )
        )
        self.project = nn.ModuleList(nn.Conv3d(deep, width, 1) for width, deep in itertools.pairwise(widths))
        self.up = nn.ModuleList(
            Block(width, width, kernel, kernel, plain=plain)
            for width, kernel, plain in zip(widths[:-1], kernels, shape.plain, strict=False)
        )
        self.head = nn.Conv3d(widths[0], out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch of patches."""
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            if level:
                skips.append(x)
                x = functional.max_pool3d(x, self.pools[level - 1])
            x = block(x)
        for project, block, pool in reversed(list(zip(self.project, self.up, self.pools, strict=True))):
            scale = tuple(float(p) for p in pool)
            x = block(functional.interpolate(project(x), scale_factor=scale, mode="nearest") + skips.pop())
        out: Tensor = self.head(x)
        return out


def build(architecture: Mapping[str, Any], in_channels: int, out_channels: int) -> nn.Module:
    """The network of an architecture of this kind."""
    return AffinityUNet(UNetShape.parsed(architecture), in_channels, out_channels)
