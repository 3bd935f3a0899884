"""From an architecture's kind to its factory: ours, and those that installed packages declare as `emseg.models`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any

from torch import nn

from emseg.models import affinity_unet
from emseg.models.spec import ModelSpec

Factory = Callable[[Mapping[str, Any], int, int], nn.Module]
GROUP = "emseg.models"


def factory(kind: str) -> Factory:
    """The function (architecture, in_channels, out_channels) -> network of a kind.

    Raises:
        ValueError: no such kind is installed.
    """
    if kind == affinity_unet.KIND:
        return affinity_unet.build
    found = tuple(entry_points(group=GROUP, name=kind))
    if len(found) != 1:
        known = sorted({affinity_unet.KIND, *(point.name for point in entry_points(group=GROUP))})
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
        multiple = affinity_unet.UNetShape.parsed(spec.architecture).multiple_xyz
        if any(patch % m for patch, m in zip(spec.patch_vx, multiple, strict=True)):
            raise ValueError(
                f"architecture: sides of patch {list(spec.patch_vx)} must be multiples of {list(multiple)}"
            )
    return factory(kind)(spec.architecture, spec.in_channels, spec.out_channels)
