"""The `denoise` stage of a run: its layer, its tasks, and the box it must cover so that prediction sees no edge."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from emseg.models.spec import ModelSpec
from emseg.pipeline.config import DenoiseStage, RunConfig
from emseg.pipeline.denoise_volumes import storage_warnings, times_apart
from emseg.pipeline.start import Start, model_of, voxel_warnings
from emseg.pipeline.tier import Tier, require_whole
from emseg.pipeline.whiteness import middle_of
from emseg.tasks.arrays.noise_correlation import noise_report
from emseg.tasks.volume.bbox import BBox, Vec, vec
from emseg.tasks.volume.errors import ConfigError, CorruptChunkError
from emseg.tasks.volume.grid import Grid
from emseg.tasks.volume.info import LayerSpec
from emseg.tasks.volume.layer import Layer, open_layer
from emseg.tasks.volume.objects import sha256
from emseg.tasks.windows import lattice_of, model_key

LAYER = "denoised"
SAMPLE_VX = (128, 128, 32)
UNLIKE_MEAN, UNLIKE_RATIO = 1.0, 2.0  # in standard deviations of the training set; ratio of standard deviations


@dataclass
class Denoising:
    """What the stage adds to a plan; empty without it. `layer` is what prediction reads."""

    layer: str = "source"
    specs: dict[str, LayerSpec] = field(default_factory=dict)
    tiers: tuple[Tier, ...] = ()
    pins: dict[str, str] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    spec: ModelSpec | None = None


def reach_of(spec: ModelSpec) -> Vec:
    """How far beyond its core a task of this network reads, at most, in voxels x, y, z."""
    return vec([p - h - 1 for p, h in zip(spec.patch_vx, spec.halo_vx, strict=True)])


def covered(spec: ModelSpec, bbox: BBox, bounds: BBox) -> BBox:
    """The part of the source that a network's windows over a box see; no chunk grid decides it."""
    lattice = lattice_of(spec)
    starts = [lattice.starts(axis, bbox.min[axis], bbox.max[axis]) for axis in range(3)]
    high = [s[-1] + p for s, p in zip(starts, lattice.patch_vx, strict=True)]
    return BBox.of([s[0] for s in starts], high).clipped(bounds).joined(bbox)


def denoising_of(config: RunConfig, start: Start, bbox: BBox) -> Denoising:
    """The stage of a run.

    Raises:
        ConfigError: the model is missing or no denoiser, or the source or the chunks do not fit.
    """
    stage, given = config.stages.denoise, config.source
    if stage is None or given is None or start.spec is None:
        return Denoising()
    content, spec = denoiser(stage.model)
    source = open_layer(given.layer, given.mip, missing=given.missing)
    box = covered(start.spec, bbox, start.bounds)
    require_whole("denoise", stage.chunk_vx, config.layers.chunk_vx, box.size)
    digest = sha256(content)
    about = {"denoiser": digest, "halo_vx": list(spec.halo_vx), "normalisation": dict(spec.normalisation)}
    layer = LayerSpec(
        "image", written_dtype(stage, source), 1, box, start.voxel_nm, vec(config.layers.chunk_vx), emseg=about
    )
    fields = {"source": "source", "out": LAYER, "model": digest, **stage_fields(stage, source, spec)}
    tier = Tier("denoise", "denoise", Grid(box, stage.chunk_vx), fields, (), "gpu" if stage.device == "cuda" else "cpu")
    warnings = denoise_warnings(source, spec)
    return Denoising(LAYER, {LAYER: layer}, (tier,), {"denoiser": digest}, {model_key(digest): content}, warnings, spec)


def denoiser(name: str) -> tuple[bytes, ModelSpec]:
    """File and spec of a denoiser.

    Raises:
        ConfigError: there is none of this name, or it is a model of another family.
    """
    return model_of(name, "denoise", "denoise model", "give one of `emseg train denoise`")


def written_dtype(stage: DenoiseStage, source: Layer) -> str:
    """Data type of the denoised layer.

    Raises:
        ConfigError: the source is no grey image of one channel.
    """
    if source.dtype.name not in ("uint8", "uint16") or source.channels != 1:
        raise ConfigError(
            f"{source.where}: holds {source.channels} channels of {source.dtype}; a denoiser takes one channel of "
            "uint8 or uint16: one model per channel"
        )
    return source.dtype.name if stage.dtype == "same" else stage.dtype


def stage_fields(stage: DenoiseStage, source: Layer, spec: ModelSpec) -> dict[str, Any]:
    """Fields of the tasks that the stage decides.

    Raises:
        ConfigError: clipping beyond what the written type holds.
    """
    written = np.dtype(written_dtype(stage, source))
    top = float(np.iinfo(source.dtype).max)
    limit = float(np.iinfo(written).max) if written.kind == "u" else float("inf")
    low, high = stage.clip or (0.0, min(top, limit))
    if written.kind == "u" and (low < 0 or high > limit):
        raise ConfigError(f"stages.denoise.clip {[low, high]}: {written} holds 0 to {limit:.0f}")
    return {
        "low": low,
        "high": high,
        "batch": stage.batch,
        "threads": stage.threads_per_process,
        "precision": stage.precision,
        "device": stage.device,
        "tta": stage.tta,
        "own_share": spec.own_share if stage.own_share is None else stage.own_share,
    }


def denoise_warnings(source: Layer, spec: ModelSpec) -> list[str]:
    """Where a source is not what a denoiser was trained on, from its `info` and from its middle."""
    out = [*storage_warnings(source.where, source.mip, source.scale.encoding), *voxel_warnings(source, spec)]
    try:
        sample = source.read_ZYX(middle_of(source.bounds, SAMPLE_VX))
    except CorruptChunkError:
        return out
    mean, std = spec.normalisation["mean"], spec.normalisation["std"]
    shift, contrast = abs(float(sample.mean()) - mean) / std, times_apart(float(sample.std()), std)
    dims = int(spec.architecture.get("dims", 3))
    noise = times_apart(noise_report(sample, dims).sigma, float(spec.training.get("noise_sigma", 0.0)))
    if shift > UNLIKE_MEAN or contrast > UNLIKE_RATIO or noise > UNLIKE_RATIO:
        out.append(
            f"denoiser {spec.name} was trained on other images than {source.where}: its middle is {shift:.1f} "
            f"standard deviations away, contrast ×{contrast:.1f}, noise ×{noise:.1f}; train one on these "
            "images (no truth is needed)"
        )
    return out
