"""A small image and a small network with random weights, for tests that need the whole chain but no meaning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from emseg.models.architectures import build
from emseg.models.checkpoint import save
from emseg.models.spec import ModelSpec
from emseg.tasks.arrays.phantom import PhantomParams, phantom
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.info import LayerSpec
from emseg.tasks.volume.layer import create_layer

BOX = BBox.sized((-6, 10, 3), (41, 37, 44))


def tiny_image(url: str) -> str:
    """A phantom's image over BOX, with a mip of 4³ for masks, some cells of it 0; its URL."""
    layer = create_layer(url, LayerSpec("image", "uint8", 1, BOX, (10, 10, 10), (16, 16, 16), factors=((4, 4, 4),)))
    layer.write(BOX, phantom(BOX, PhantomParams())[0])
    coarse = layer.at(1)
    blank = np.random.default_rng(0).random(coarse.bounds.shape_ZYX) < 0.15
    coarse.write(coarse.bounds, np.where(blank, 0, 9).astype(np.uint8))
    return url


def tiny_model(folder: Path) -> str:
    """A network of a few hundred parameters whose windows overlap unevenly; path of its file."""
    torch.manual_seed(0)
    spec = ModelSpec(
        name="tiny",
        family="affinity",
        architecture={
            "kind": "residual_unet",
            "widths": [4, 8],
            "plain": [True, False],
            "flat": [False, False],
            "entry": 3,
        },
        in_channels=1,
        offsets=((-1, 0, 0), (0, -1, 0), (0, 0, -1), (-3, 0, 0)),
        patch_vx=(24, 20, 16),
        stride_vx=(12, 16, 10),
        halo_vx=(4, 2, 2),
        phase_vx=(3, 0, 1),
        voxel_nm=(10, 10, 10),
        normalisation={"scale": 255, "mean": 0.5, "std": 0.5},
        coding={"kind": "logit", "gain": 16},
    )
    net = build(spec)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(3.0)
    path = folder / "tiny.safetensors"
    save(path, spec, net)
    return str(path)
