"""Which layers a view shows, volumes and annotations: read from their `info` files, or from a run's plan."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from emseg.pipeline.plan import absolute
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import ConfigError, LayerError
from emseg.tasks.volume.info import VoxelNm, parse_dtype, parse_scale
from emseg.tasks.volume.limits import INFO_BYTES
from emseg.tasks.volume.objects import Objects
from emseg.tasks.volume.url import joined_url, redacted

RUN_LAYERS = ("image", "denoised", "affinities", "fragments", "segmentation", "conflicts", "truth")
UNSEEN = ("provisional",)  # its labels depend on the chunk grid
SHOWN_AT_FIRST = ("image", "segmentation", "conflicts")
ANNOTATIONS = "neuroglancer_annotations_v1"
NAME = re.compile(r"[A-Za-z0-9][\w.\-]*")


@dataclass(frozen=True)
class ViewLayer:
    """One layer of a view: its name there, its root URL and its `info`."""

    name: str
    url: str
    info: Mapping[str, Any]
    visible: bool = True

    @property
    def kind(self) -> str:
        """`annotation`, `segmentation`, `affinity` (three channels or more, shown as RGB) or `image`."""
        if self.info.get("@type") == ANNOTATIONS:
            return "annotation"
        if self.info.get("type") == "segmentation":
            return "segmentation"
        return "affinity" if int(self.info.get("num_channels", 1)) >= 3 else "image"

    @property
    def bounds(self) -> BBox:
        """All voxels of mip 0."""
        return parse_scale(self.info, 0, self.name).bounds

    @property
    def voxel_nm(self) -> VoxelNm:
        """Voxel size of mip 0, x, y, z."""
        return parse_scale(self.info, 0, self.name).voxel_nm


def view_layer(name: str, url: str) -> ViewLayer:
    """The layer at a URL.

    Raises:
        ConfigError: the name cannot stand in a link.
        LayerError: no `info`, or one that is not a precomputed volume.
    """
    if not NAME.fullmatch(name):
        raise ConfigError(f"layer name {name!r}: use letters, digits, '_', '-' and '.'")
    found = _find_layer(name, url)
    if found is None:
        raise LayerError(f"layer {redacted(url)}: there is no info file; check the path, or ingest the volume")
    return found


def view_layers(sources: Iterable[tuple[str, str]]) -> list[ViewLayer]:
    """Layers of (name, URL) pairs, all visible; names must differ."""
    layers = [view_layer(name, url) for name, url in sources]
    names = [layer.name for layer in layers]
    if len(set(names)) < len(names):
        raise ConfigError(f"layer names {', '.join(names)}: each must be used once")
    return layers


def is_run(url: str) -> bool:
    """Whether a URL is a run directory: it holds a plan."""
    return Objects(url).exists("plan.json")


def run_layers(run_url: str) -> list[ViewLayer]:
    """Layers of a run, also of a running one: those that exist by now, in the order of the stages.

    The plan says where they are; folders of `layers/` with a known name (the truth of a demo) are shown too. At first
    the image and the segmentation are visible, or, as long as there is no segmentation, all there is.

    Raises:
        ConfigError: the directory holds no plan.
        LayerError: none of its layers has been started.
    """
    run = Objects(run_url)
    urls = _planned_urls(run)
    for name in RUN_LAYERS:
        urls.setdefault(name, joined_url(run.url, "layers", name))
    order = sorted((n for n in urls if n not in UNSEEN), key=lambda n: RUN_LAYERS.index(n) if n in RUN_LAYERS else -1)
    found = [layer for name in order if (layer := _find_layer(name, urls[name])) is not None]
    if not found:
        raise LayerError(f"run {redacted(run.url)}: no layer has been started; start a worker, then look again")
    found.sort(key=lambda layer: layer.kind == "annotation")  # drawn last; a volume gives the units of the view
    whole = any(layer.name == "segmentation" for layer in found)
    return [replace(layer, visible=not whole or layer.name in (*SHOWN_AT_FIRST, order[0])) for layer in found]


def _planned_urls(run: Objects) -> dict[str, str]:
    content = run.get("plan.json")
    if content is None:
        raise ConfigError(f"{redacted(run.url)} holds no plan.json: give a run directory, or name layers one by one")
    try:
        layers = json.loads(content)["layers"]
        urls = {str(name): str(ref["url"]) for name, ref in layers.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{redacted(run.url)}/plan.json cannot be read ({error}); plan into a new directory"
        ) from None
    return {name: absolute(run.url, url) for name, url in urls.items()}


def _find_layer(name: str, url: str) -> ViewLayer | None:
    objects = Objects(url)
    content = objects.get("info", INFO_BYTES)
    if content is None:
        return None
    where = f"layer {redacted(objects.url)}"
    try:
        info = json.loads(content)
    except ValueError as error:
        raise LayerError(f"{where}: info is not JSON ({error})") from None
    if not isinstance(info, dict):
        raise LayerError(f"{where}: info is not a JSON object")
    if info.get("@type") != ANNOTATIONS:
        parse_scale(info, 0, where)
        parse_dtype(info, where)
    return ViewLayer(name, objects.url, info)
