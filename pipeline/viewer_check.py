"""A look at layers without a browser: every `info`, one storage chunk a mip, and what breaks Neuroglancer silently."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from emseg.pipeline.viewer_layers import ViewLayer
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import EmsegError
from emseg.tasks.volume.layer import Layer
from emseg.tasks.volume.limits import INFO_BYTES
from emseg.tasks.volume.objects import Objects


@dataclass(frozen=True)
class Finding:
    """One thing looked at: `state` is `good`, `absent` (not written yet: drawn empty) or `bad`."""

    layer: str
    what: str
    state: str
    detail: str = ""


def check_layers(layers: Sequence[ViewLayer]) -> list[Finding]:
    """What a page would meet: the middle storage chunk of every mip, and the `info` of meshes and skeletons."""
    return [finding for layer in layers for finding in _findings(layer)]


def _findings(layer: ViewLayer) -> Iterator[Finding]:
    if layer.kind == "annotation":
        yield Finding(layer.name, "annotations", "good", str(layer.info["spatial"][0]["key"]))
        return
    for mip in range(len(layer.info["scales"])):
        yield _chunk(layer, mip)
    for part in ("mesh", "skeletons"):
        if part in layer.info:
            yield _part(layer, part, str(layer.info[part]))


def _chunk(layer: ViewLayer, mip: int) -> Finding:
    what = f"mip {mip}"
    try:
        source = Layer(Objects(layer.url), layer.info, mip, missing="zero")
        core = _middle(source)
        source.read(core)
    except EmsegError as error:
        return Finding(layer.name, what, "bad", str(error))
    return Finding(layer.name, what, "absent" if source.absent else "good", source.object_key(core))


def _middle(source: Layer) -> BBox:
    centre = [(a + b) // 2 for a, b in zip(source.bounds.min, source.bounds.max, strict=True)]
    grid = source.storage_grid
    return grid.core(next(iter(grid.indices_meeting(BBox.sized(centre, (1, 1, 1))))))


def _part(layer: ViewLayer, part: str, folder: str) -> Finding:
    try:
        content = Objects(layer.url).get(f"{folder}/info", INFO_BYTES)
        info: Any = None if content is None else json.loads(content)
    except (EmsegError, ValueError) as error:
        return Finding(layer.name, part, "bad", str(error))
    if info is None:
        return Finding(layer.name, part, "bad", f"{folder}/info is missing: write it again")
    wrong = [a.get("id") for a in info.get("vertex_attributes", []) if a.get("data_type") != "float32"]
    if wrong:
        return Finding(
            layer.name, part, "bad", f"{folder}/info: vertex attribute {wrong[0]!r} must be float32 to be drawn"
        )
    return Finding(layer.name, part, "good", folder)
