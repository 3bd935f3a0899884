"""The file that `emseg train affinity` reads. Geometry is x, y, z, as everywhere."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from emseg.pipeline.config import Section

Triple = tuple[int, int, int]
NEAREST_AND_LONG = ((-1, 0, 0), (0, -1, 0), (0, 0, -1), (-9, 0, 0), (0, -9, 0), (0, 0, -9))


class TrainingVolume(Section):
    """An image and its dense truth: files (file.h5:dataset, .npy, TIFF, folder of sections) or layers."""

    image: str = Field(description="file or layer of the image, uint8")
    labels: str = Field(description="file or layer of the truth; label 0 is unknown")
    train: tuple[Triple, Triple] = Field(description="box to train on, [[x, y, z], [x, y, z]], half-open")
    tune: tuple[Triple, Triple] = Field(description="box to validate and tune on")


class AffinityTraining(Section):
    """How an affinity network is trained."""

    name: str = Field(description="name of the model")
    out: str = Field(description="folder for checkpoints, events and the finished model")
    volumes: tuple[TrainingVolume, ...] = Field(min_length=1, description="what to train on")
    voxel_nm: tuple[float, float, float] = Field(description="voxel size of all volumes")
    attribution: str = Field("", description="whose data it is, and its licence")
    widths: tuple[int, ...] = Field((16, 32, 48, 64), description="features per level, finest first")
    plain_levels: int = Field(1, ge=0, description="finest levels whose blocks have no residual pair")
    flat_levels: int = Field(0, ge=0, description="finest levels with 1×3×3 kernels and 1×2×2 pools (thick sections)")
    entry: Literal[3, 5] = Field(5, description="size of the first kernel")
    offsets: tuple[Triple, ...] = Field(NEAREST_AND_LONG, description="channels; channel c joins v to v + offset")
    crop_vx: Triple = Field((48, 48, 48), description="training crop")
    tune_crop_vx: Triple = Field((96, 96, 16), description="validation crop")
    tune_crops: int = Field(8, ge=1, description="validation crops")
    batch: int = Field(1, ge=1, description="crops per step and device")
    loaders: int = Field(0, ge=0, description="processes that make crops; 0: the trainer itself")
    steps: int = Field(2000, ge=1, description="optimiser steps")
    warm_up: int = Field(50, ge=1, description="steps of rising learning rate")
    validate_every: int = Field(250, ge=1, description="steps between validations and checkpoints")
    learning_rate: float = Field(1e-3, gt=0, description="greatest learning rate")
    weight_decay: float = Field(1e-2, ge=0, description="of AdamW")
    decay: float = Field(0.995, ge=0, lt=1, description="of the moving average of the weights")
    precision: Literal["32", "bf16-mixed"] = Field("32", description="bf16-mixed on GPUs")
    threads: int = Field(2, ge=1, description="CPU threads; they decide the last bits")
    seed: int = Field(0, ge=0, description="decides weights, crops and augmentations")
    patch_vx: Triple = Field((80, 80, 80), description="inference window")
    halo_vx: Triple = Field((8, 8, 8), description="margin of a window that is discarded")
    stride_vx: Triple = Field((64, 64, 64), description="step of the lattice of windows")
    phase_vx: Triple = Field((-8, -8, -8), description="windows start at k·stride + phase")
    coding: dict[str, Any] = Field(
        {"kind": "logit", "gain": 16}, description="{kind: linear} or {kind: logit, gain: number}"
    )
    recommended: dict[str, dict[str, Any]] = Field(
        {}, description="thresholds of the stages behind it, {fragment: {t_low: 0.005}}: defaults of its runs"
    )
