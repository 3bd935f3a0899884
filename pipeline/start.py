"""What a run starts from: an image and a model, or what others made; opened and checked first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from emseg.models.checkpoint import read_spec, resolve
from emseg.models.coding import code_table
from emseg.models.spec import ModelSpec
from emseg.models.symmetry import require_views, views_of
from emseg.pipeline.config import Fragments, Instances, Normalise, RunConfig
from emseg.pipeline.costs import Voxel
from emseg.pipeline.instances import InstanceChunks, instance_chunks
from emseg.pipeline.levels import levels_content
from emseg.tasks.base import canonical_json
from emseg.tasks.context import LayerRef
from emseg.tasks.predict import levels_key
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import ConfigError
from emseg.tasks.volume.info import VoxelNm
from emseg.tasks.volume.layer import Layer, open_layer
from emseg.tasks.volume.objects import sha256
from emseg.tasks.volume.url import canonical_url, redacted
from emseg.tasks.weights import AffinityForm
from emseg.tasks.windows import lattice_of, model_key

VOXEL_TOLERANCE = 0.1  # a model is warned about on voxels that differ by more than a tenth


@dataclass
class Start:
    """Where a run starts.

    Attributes:
        bounds, voxel_nm: of the source at its mip.
        voxel: what one of its voxels holds.
        layers: what the plan lists of it.
        form: fields of AffinityForm, for the leaves.
        given: name of the layer of given fragments, '' if they are to be made.
        chunks: overlapping chunks of instances, if the run starts from those.
        spec: the model, None if the affinities are there already.
        about: the `emseg` object of the affinity layer.
        training: what the model was trained and tuned on.
        pins, objects: digests in the plan, and the objects that they are of.
        warnings: what a person should know.
    """

    bounds: BBox
    voxel_nm: VoxelNm
    layers: dict[str, LayerRef]
    form: dict[str, Any]
    given: str = ""
    chunks: InstanceChunks | None = None
    spec: ModelSpec | None = None
    about: dict[str, Any] = field(default_factory=dict)
    training: list[Mapping[str, Any]] = field(default_factory=list)
    pins: dict[str, str] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    voxel: Voxel = field(default_factory=Voxel)
    warnings: list[str] = field(default_factory=list)


def start_of(config: RunConfig) -> Start:
    """Open what a run starts from.

    Raises:
        ConfigError, LayerError: it is missing, or does not fit.
    """
    if config.instances is not None:
        return _from_instances(config, config.instances)
    return _from_affinities(config) if config.affinities is not None else _from_image(config)


def _from_instances(config: RunConfig, given: Instances) -> Start:
    chunks = instance_chunks(config, given)
    ref = {"source": LayerRef(canonical_url(given.folder))}
    start = Start(chunks.grid.bbox, given.voxel_nm, ref, {}, chunks=chunks, pins={"source": chunks.digest})
    start.objects.update(chunks.objects(given.voxel_nm))
    return start


def _from_affinities(config: RunConfig) -> Start:
    given = config.affinities
    if given is None:
        raise ConfigError("affinities: is missing")
    layer = open_layer(given.layer, given.mip)
    if layer.channels < 3 or layer.dtype not in (np.float32, np.uint8, np.uint16):
        raise ConfigError(
            f"{layer.where}: holds {layer.channels} channels of {layer.dtype}; affinities are at least 3 channels "
            "of float32, uint8 or uint16"
        )
    if config.normalise.kind != "none":
        raise ConfigError("normalise: needs source:, an image; affinities are taken as they are")
    channels = (0, 1, 2) if given.channels == "xyz" else (2, 1, 0)
    form = {"layer": "source", "channels": channels, "side": given.side}
    AffinityForm("source", channels, given.side).require(layer)
    ref = LayerRef(canonical_url(given.layer), given.mip, given.missing)
    pins = {"source": _info_digest(layer)}
    start = Start(layer.bounds, layer.voxel_nm, {"source": ref}, form, pins=pins, voxel=_voxel(layer))
    if config.fragments is not None:
        _add_fragments(start, config.fragments, whole=config.bbox is None)
    return start


def _add_fragments(start: Start, given: Fragments, whole: bool) -> None:
    """Add a layer of fragments; if nobody gave a bbox (`whole`), warn where it makes the run smaller."""
    layer = open_layer(given.layer, given.mip)
    if layer.channels != 1 or layer.dtype.kind != "u":
        raise ConfigError(
            f"{layer.where}: holds {layer.channels} channels of {layer.dtype}; fragments are one channel of uint8, "
            "uint16, uint32 or uint64"
        )
    if layer.voxel_nm != start.voxel_nm:
        raise ConfigError(
            f"{layer.where} mip {layer.mip}: has voxels of {list(layer.voxel_nm)} nm, the affinities of "
            f"{list(start.voxel_nm)}; choose mips of one size"
        )
    common = start.bounds.clipped(layer.bounds)
    if common.empty:
        raise ConfigError(f"{layer.where}: its bounds {layer.bounds} do not meet the affinities' {start.bounds}")
    if whole and common != start.bounds:
        start.warnings.append(
            f"the run covers {common} only: {layer.where} holds {layer.bounds}, the affinities {start.bounds}; give "
            "bbox: if that is meant"
        )
    start.bounds, start.given = common, "given"
    start.layers["given"] = LayerRef(canonical_url(given.layer), given.mip, given.missing)
    start.pins["given"] = _info_digest(layer)


def _from_image(config: RunConfig) -> Start:
    given = config.source
    if given is None:
        raise ConfigError("source: is missing")
    layer = open_layer(given.layer, given.mip)
    content, spec = model_of(
        config.stages.predict.model, "affinity", "stages.predict.model", "give an affinity network"
    )
    _require_image(layer, spec, config.normalise)
    _require_views(spec, config.stages.predict.tta)
    digest = sha256(content)
    start = Start(
        layer.bounds,
        layer.voxel_nm,
        {"source": LayerRef(canonical_url(given.layer), given.mip, given.missing)},
        {"layer": "affinities"},
        "",
        None,
        spec,
        {
            "offsets": [list(o) for o in spec.offsets],
            "table": code_table(spec).tolist(),
            "coding": dict(spec.coding),
            "activation": spec.activation,
            "model": digest,
        },
        list(spec.training.get("data", [])),
        {"model": digest, "source": _info_digest(layer)},
        {model_key(digest): content},
        _voxel(layer),
        voxel_warnings(layer, spec),
    )
    _add_levels(start, config, spec)
    return start


def model_of(name: str, family: str, what: str, advice: str) -> tuple[bytes, ModelSpec]:
    """File and spec of a model.

    Raises:
        ConfigError: there is none of this name, or it is a model of another family.
    """
    try:
        path = resolve(name, family)
        content, spec = path.read_bytes(), read_spec(path)
    except (ValueError, OSError) as error:
        raise ConfigError(f"{what} {name!r}: {error}") from None
    if spec.family != family:
        raise ConfigError(f"{what} {name!r}: is of family {spec.family}; {advice}")
    return content, spec


def _require_image(layer: Layer, spec: ModelSpec, normalise: Normalise) -> None:
    if layer.channels != spec.in_channels:
        raise ConfigError(
            f"{layer.where}: has {layer.channels} channels but model {spec.name} takes {spec.in_channels}; "
            "give a layer or a model that fits"
        )
    allowed = ("uint8",) if normalise.kind == "none" else ("uint8", "uint16")
    if layer.dtype.name not in allowed:
        raise ConfigError(
            f"{layer.where}: is {layer.dtype}; this run takes {' or '.join(allowed)} images "
            "(uint16 ones with normalise: and the levels of `emseg stats`)"
        )


def _require_views(spec: ModelSpec, tta: str) -> None:
    try:
        require_views(views_of(tta), spec.patch_vx, spec.offsets)
    except ValueError as error:
        raise ConfigError(f"stages.predict.tta {tta!r}: with model {spec.name} it {error}") from None


def voxel_warnings(layer: Layer, spec: ModelSpec) -> list[str]:
    """A warning if a model was trained on voxels of another size."""
    unlike = any(abs(a - b) > VOXEL_TOLERANCE * b for a, b in zip(layer.voxel_nm, spec.voxel_nm, strict=True))
    if not unlike:
        return []
    return [
        f"model {spec.name} was trained on voxels of {list(spec.voxel_nm)} nm but {redacted(layer.url)} mip "
        f"{layer.mip} has {list(layer.voxel_nm)}; choose another mip or expect poor results"
    ]


def _add_levels(start: Start, config: RunConfig, spec: ModelSpec) -> None:
    if config.normalise.kind == "none":
        return
    content = levels_content(config.normalise, _sections(start, config, spec))
    start.pins["levels"] = sha256(content)
    start.objects[levels_key(sha256(content))] = content


def _sections(start: Start, config: RunConfig, spec: ModelSpec) -> range:
    """z of all sections that patches read."""
    lattice, bounds = lattice_of(spec), start.bounds
    low, high = (corner[2] for corner in (config.bbox or bounds))
    starts = lattice.starts(2, low, high)
    if not starts:
        return range(0)  # of an empty box, which the planner refuses
    return range(max(starts[0], bounds.min[2]), min(starts[-1] + lattice.patch_vx[2], bounds.max[2]))


def _voxel(layer: Layer) -> Voxel:
    return Voxel(layer.channels, layer.dtype.itemsize)


def _info_digest(layer: Layer) -> str:
    return sha256(canonical_json(dict(layer.info)))
