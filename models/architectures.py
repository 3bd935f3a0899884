"""From an architecture's kind to its factory: ours, and those that installed packages declare as `emseg.models`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any

from torch import nn

from emseg.models import affinity_unet, denoise_unet
from emseg.models.spec import ModelSpec, Vec

Factory = Callable[[Mapping[str, Any], int, int], nn.Module]
GROUP = "emseg.models"
OURS: Mapping[str, Factory] = {affinity_unet.KIND: affinity_unet.build, denoise_unet.KIND: denoise_unet.build}


def factory(kind: str) -> Factory:
    """The function (architecture, in_channels, out_channels) -> network of a kind.

    Raises:
        ValueError: no such kind is installed.
    """
    if kind in OURS:
        return OURS[kind]
    found = tuple(entry_points(group=GROUP, name=kind))
    if len(found) != 1:
        known = sorted({*OURS, *(point.name for point in entry_points(group=GROUP))})
        raise ValueError(f"architecture {kind!r}: {len(found)} packages declare it; known: {', '.join(known)}")
    made: Factory = found[0].load()
    return made


def build(spec: ModelSpec) -> nn.Module:
    """The untrained network of a spec.

    Raises:
        ValueError: an unknown kind, parameters out of range, or a patch that the network cannot take.
    """
    kind = spec.architecture["kind"]
    if kind == affinity_unet.KIND:
        _require_multiple("patch", spec.patch_vx, affinity_unet.UNetShape.parsed(spec.architecture).multiple_xyz)
    elif kind == denoise_unet.KIND:
        _require_exact(spec, denoise_unet.DenoiseShape.parsed(spec.architecture))
    return factory(kind)(spec.architecture, spec.in_channels, spec.out_channels)


def _require_multiple(name: str, sides_vx: Vec, multiple: Vec) -> None:
    if any(side % m for side, m in zip(sides_vx, multiple, strict=True)):
        raise ValueError(f"architecture: sides of {name} {list(sides_vx)} must be multiples of {list(multiple)}")


def _require_exact(spec: ModelSpec, shape: denoise_unet.DenoiseShape) -> None:
    """Refuse windows whose inner part would depend on where the lattice lies.

    Raises:
        ValueError: a halo that is too short, or sides, steps or halos that move its pooling.
    """
    _require_multiple("patch", spec.patch_vx, shape.multiple_xyz)
    _require_multiple("stride", spec.stride_vx, shape.multiple_xyz)
    _require_multiple("halo", spec.halo_vx, shape.multiple_xyz)
    if any(halo < least for halo, least in zip(spec.halo_vx, shape.halo_xyz, strict=True)):
        raise ValueError(
            f"architecture: halo {list(spec.halo_vx)} is too short for this network; use {list(shape.halo_xyz)}"
        )
