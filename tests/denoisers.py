"""Small denoisers with random weights, for tests that need windows and no meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from emseg.models.architectures import build
from emseg.models.checkpoint import save
from emseg.models.denoise_unet import DenoiseShape
from emseg.models.spec import ModelSpec


def denoise_spec(dims: int, depth: int, tile: tuple[int, int, int], n2v2: bool = False, features: int = 2) -> ModelSpec:
    """A spec with the halo that its network needs."""
    architecture = {"kind": "denoise_unet", "dims": dims, "depth": depth, "features": features, "n2v2": n2v2}
    halo = DenoiseShape.parsed(architecture).halo_xyz
    x, y, z = (t + 2 * h for t, h in zip(tile, halo, strict=True))
    return ModelSpec(
        name="tiny-denoiser",
        family="denoise",
        architecture=architecture,
        in_channels=1,
        offsets=(),
        patch_vx=(x, y, z),
        stride_vx=tile,
        halo_vx=halo,
        phase_vx=(0, 0, 0),
        voxel_nm=(10, 10, 10),
        normalisation={"scale": 1, "mean": 120, "std": 45},
        coding={"kind": "grey"},
        activation="identity",
    )


def saved_denoiser(folder: Path, spec: ModelSpec) -> str:
    """A file of that denoiser, with weights that make it look far and spread its output; its path."""
    torch.manual_seed(0)
    net: Any = build(spec).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(1.6)
        output = net(torch.randn(1, 1, 16, 64, 64))
        net.head.bias.sub_(output.mean())
        net.head.weight.div_(output.std())
        net.head.bias.div_(output.std())
    path = folder / "denoiser.safetensors"
    save(path, spec, net)
    return str(path)


def exact_network(spec: ModelSpec, axis: int, seed: int = 0) -> nn.Module:
    """A denoiser of whole numbers: each output is the sum of the two ends of the kernel along an axis (0 z, 1 y, 2 x).

    Sums of small integers are exact in float32, so any window of any shape gives the same bits where it sees enough.
    """
    rng = torch.Generator().manual_seed(seed)
    net = build(spec).eval()
    for block in [*net.down, *net.up]:  # type: ignore[misc]
        for number, part in enumerate(block):
            if isinstance(part, nn.BatchNorm2d | nn.BatchNorm3d):
                block[number] = nn.Identity()
            elif isinstance(part, nn.Conv2d | nn.Conv3d):
                _set_ends(part, axis - 3, rng)
    head: Any = net.head
    with torch.no_grad():
        head.weight.zero_()[:, 0] = 1
        head.bias.zero_()
    return net


def _set_ends(part: nn.Conv2d | nn.Conv3d, axis: int, rng: torch.Generator) -> None:
    with torch.no_grad():
        part.weight.zero_()
        for out in range(part.out_channels):
            for end in (0, 2):
                below = min(part.in_channels, 2 * part.out_channels)  # not the skip: it looks less far
                given = int(torch.randint(below, (1,), generator=rng))
                place = [1] * (part.weight.ndim - 2)
                place[axis] = end
                part.weight[(out, given, *place)] += 1
