"""`emseg train affinity CONFIG`: opens the volumes that a config names and hands them to the trainer.

Writes, below `out`: the config as understood, Lightning checkpoints (for --resume), TensorBoard events, and
`<name>.safetensors`, the averaged weights with their training record.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from pydantic import Field
from torch.utils.data import DataLoader

from emseg.models.affinity_module import AffinityModule
from emseg.models.architectures import build
from emseg.models.checkpoint import load, resolve, save
from emseg.models.dataset import Crops, TrainingCrops, Triple, ValidationCrops
from emseg.models.spec import ModelSpec
from emseg.pipeline.config import Section
from emseg.pipeline.yamlfile import load_yaml
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import ConfigError
from emseg.tasks.volume.objects import sha256

Offset = tuple[int, int, int]
NORMALISATION = {"scale": 255.0, "mean": 0.5, "std": 0.5}  # grey levels are fixed, never a window's own


class TrainingVolume(Section):
    """One volume: image and dense truth in an HDF5 file, arrays [z, y, x]; label 0 is unknown."""

    file: str = Field(description="HDF5 file")
    image: str = Field("raw", description="data set of the image, uint8")
    labels: str = Field("labels", description="data set of the truth")
    train: tuple[Offset, Offset] = Field(description="box to train on, [[x, y, z], [x, y, z]], half-open")
    tune: tuple[Offset, Offset] = Field(description="box to validate and tune on")


class AffinityTraining(Section):
    """How an affinity network is trained."""

    name: str = Field(description="name of the model")
    out: str = Field(description="folder for checkpoints, events and the finished model")
    volumes: tuple[TrainingVolume, ...] = Field(min_length=1, description="what to train on")
    voxel_nm: tuple[float, float, float] = Field(description="voxel size of all volumes")
    attribution: str = Field("", description="whose data it is, and its licence")
    widths: tuple[int, ...] = Field((16, 32, 48, 64), description="features per level")
    plain_levels: int = Field(1, ge=0, description="finest levels whose blocks have no residual pair")
    flat_levels: int = Field(0, ge=0, description="finest levels with 1×3×3 kernels and 1×2×2 pools (thick sections)")
    entry: Literal[3, 5] = Field(5, description="size of the first kernel")
    offsets: tuple[Offset, ...] = Field(
        ((-1, 0, 0), (0, -1, 0), (0, 0, -1), (-9, 0, 0), (0, -9, 0), (0, 0, -9)), description="channels"
    )
    crop_zyx: Triple = Field((48, 48, 48), description="training crop")
    tune_crop_zyx: Triple = Field((16, 96, 96), description="validation crop")
    tune_crops: int = Field(8, ge=1, description="validation crops")
    batch: int = Field(1, ge=1, description="crops per step")
    steps: int = Field(2000, ge=1, description="optimiser steps")
    warm_up: int = Field(50, ge=1, description="steps of rising learning rate")
    validate_every: int = Field(250, ge=1, description="steps between validations and checkpoints")
    learning_rate: float = Field(1e-3, gt=0, description="greatest learning rate")
    weight_decay: float = Field(1e-2, ge=0, description="of AdamW")
    decay: float = Field(0.995, ge=0, lt=1, description="of the moving average of the weights")
    precision: Literal["32", "bf16-mixed"] = Field("32", description="bf16-mixed on GPUs")
    threads: int = Field(2, ge=1, description="CPU threads")
    seed: int = Field(0, ge=0, description="decides weights, crops and augmentations")
    patch_vx: Offset = Field((80, 80, 80), description="inference window")
    halo_vx: Offset = Field((8, 8, 8), description="margin of a window that is discarded")
    stride_vx: Offset = Field((64, 64, 64), description="step of the lattice of windows")
    phase_vx: Offset = Field((-8, -8, -8), description="windows start at k·stride + phase")
    coding: dict[str, Any] = Field({"kind": "logit", "gain": 16}, description="linear, or logit with a gain")


@dataclass(frozen=True)
class ArrayVolume:
    """A box of an HDF5 volume, in memory."""

    image_ZYX: np.ndarray  # noqa: N815
    labels_ZYX: np.ndarray  # noqa: N815

    @property
    def shape_ZYX(self) -> Triple:
        """Voxels."""
        z, y, x = self.image_ZYX.shape
        return (z, y, x)

    def sample(self, low_ZYX: Triple, size_ZYX: Triple) -> tuple[np.ndarray, np.ndarray]:
        """Image in [0, 1] and labels of a crop."""
        at = tuple(slice(a, a + n) for a, n in zip(low_ZYX, size_ZYX, strict=True))
        return self.image_ZYX[at].astype(np.float32) / 255, self.labels_ZYX[at].astype(np.int64)


def train_affinity(
    path: Path, *, resume: bool = False, init_from: str | None = None, sets: tuple[str, ...] = ()
) -> Path:
    """Train; the finished model's file.

    Args:
        path: config.
        resume: go on from the last checkpoint below `out`: weights, optimiser, schedule, step, crops.
        init_from: start from another model's weights only.
        sets: overrides as for run.yaml.
    """
    config = load_yaml(AffinityTraining, path, sets)
    torch.set_num_threads(config.threads)
    lightning.seed_everything(config.seed, verbose=False)
    spec = _spec(config)
    net = load(resolve(init_from))[1] if init_from else build(spec)
    module = AffinityModule(net, config.learning_rate, config.weight_decay, config.steps, config.warm_up, config.decay)
    out = Path(config.out)
    last = out / "last.ckpt"
    if resume and not last.is_file():
        raise ConfigError(f"--resume: {last} does not exist; train without it first")
    first = torch.load(last, weights_only=True)["global_step"] if resume else 0
    trainer = _trainer(config, out)
    trainer.fit(module, *_loaders(config, first), ckpt_path=str(last) if resume else None, weights_only=True)
    metrics = {k: float(v) for k, v in trainer.callback_metrics.items()}
    finished = out / f"{config.name}.safetensors"
    save(finished, _spec(config, {"figures": metrics, "steps": trainer.global_step}), module.average.module)
    return finished


def _trainer(config: AffinityTraining, out: Path) -> lightning.Trainer:
    keep = ModelCheckpoint(out, "step-{step}", every_n_train_steps=config.validate_every, save_last=True, save_top_k=-1)
    return lightning.Trainer(
        max_steps=config.steps,
        accelerator="auto",
        precision=config.precision,
        gradient_clip_val=1.0,
        val_check_interval=config.validate_every,
        check_val_every_n_epoch=None,
        callbacks=[keep],
        logger=TensorBoardLogger(out, name="", version="events"),
        log_every_n_steps=10,
        enable_model_summary=False,
    )


def _loaders(config: AffinityTraining, first_step: int) -> tuple[Any, Any]:
    def crops(part: str, size: Triple) -> Crops:
        volumes = [_volume(v, v.train if part == "train" else v.tune) for v in config.volumes]
        return Crops(volumes, size, config.offsets, config.seed)

    training = TrainingCrops(crops("train", config.crop_zyx), first_step * config.batch)
    tuning = ValidationCrops(crops("tune", config.tune_crop_zyx), config.tune_crops)
    return DataLoader(training, config.batch), DataLoader(tuning, 1)


def _volume(volume: TrainingVolume, box: tuple[Offset, Offset]) -> ArrayVolume:
    bbox = BBox.of(*box)
    at = bbox.slices_ZYX((0, 0, 0))
    try:
        with h5py.File(volume.file, "r") as file:
            image, labels = file[volume.image], file[volume.labels]
            if any(s.stop > n for s, n in zip(at, image.shape, strict=True)):
                raise ConfigError(f"{volume.file}: box {bbox} leaves the volume {list(image.shape)} [z, y, x]")
            return ArrayVolume(image[at], labels[at])
    except (OSError, KeyError) as error:
        raise ConfigError(f"{volume.file}: cannot be read ({error}); check the path and the data sets") from None


def _spec(config: AffinityTraining, record: dict[str, Any] | None = None) -> ModelSpec:
    architecture = {
        "kind": "residual_unet",
        "widths": list(config.widths),
        "plain": [level < config.plain_levels for level in range(len(config.widths))],
        "flat": [level < config.flat_levels for level in range(len(config.widths))],
        "entry": config.entry,
    }
    training = {} if record is None else {**record, "data": _data(config), **_settings(config)}
    return ModelSpec(
        name=config.name,
        family="affinity",
        architecture=architecture,
        in_channels=1,
        offsets=config.offsets,
        patch_vx=config.patch_vx,
        stride_vx=config.stride_vx,
        halo_vx=config.halo_vx,
        phase_vx=config.phase_vx,
        voxel_nm=config.voxel_nm,
        normalisation=NORMALISATION,
        coding=config.coding,
        training=training,
    )


def _settings(config: AffinityTraining) -> dict[str, Any]:
    plain = config.model_dump(mode="json", exclude={"volumes", "out"})
    return {"config": plain, "seed": config.seed, "attribution": config.attribution}


def _data(config: AffinityTraining) -> list[dict[str, Any]]:
    """What the model has seen, for `evaluate` to refuse."""
    return [
        {
            "name": Path(v.file).name,
            "sha256": file_digest(v.file),
            "image_sha256": _image_digest(v),
            "part": part,
            "bbox": box,
        }
        for v in config.volumes
        for part, box in (("train", v.train), ("tune", v.tune))
    ]


def _image_digest(volume: TrainingVolume) -> str:
    with h5py.File(volume.file, "r") as file:
        return sha256(np.ascontiguousarray(file[volume.image][...]).tobytes())


def file_digest(path: str) -> str:
    """sha256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
