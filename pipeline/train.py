"""`emseg train affinity CONFIG`: opens the volumes that a config names and hands them to the trainer.

Writes, below `out`: Lightning checkpoints (for --resume), TensorBoard events, and `<name>.safetensors`, the averaged
weights with their training record.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from torch import nn
from torch.utils.data import DataLoader

from emseg.models.affinity_module import AffinityModule
from emseg.models.architectures import build
from emseg.models.checkpoint import load, resolve, save
from emseg.models.dataset import Crops, TrainingCrops, ValidationCrops
from emseg.models.spec import ModelSpec
from emseg.pipeline.train_config import AffinityTraining, Triple
from emseg.pipeline.train_progress import StepBar, quiet_lightning
from emseg.pipeline.train_resume import last_checkpoint
from emseg.pipeline.train_volumes import part_of, require_volumes, seen
from emseg.pipeline.yamlfile import load_yaml
from emseg.tasks.volume.errors import ConfigError

NORMALISATION = {"scale": 255.0, "mean": 0.5, "std": 0.5}  # grey levels are fixed, never a window's own
CLIP_NORM = 1.0


def train_affinity(
    path: Path, *, resume: bool = False, init_from: str | None = None, sets: tuple[str, ...] = ()
) -> Path:
    """Train; the finished model's file.

    Args:
        path: config.
        resume: go on from the last checkpoint below `out`: weights, optimiser, schedule, step, crops.
        init_from: start from another model's weights only.
        sets: overrides as for run.yaml.

    Raises:
        ConfigError, LayerError: the config, its volumes, or the model to start from cannot be used.
    """
    config = load_yaml(AffinityTraining, path, sets)
    require_volumes(path, [name for volume in config.volumes for name in (volume.image, volume.labels)])
    last = last_checkpoint(config.out, resume)
    torch.set_num_threads(config.threads)
    lightning.seed_everything(config.seed, verbose=False)
    module = AffinityModule(
        _net(config, init_from), config.learning_rate, config.weight_decay, config.steps, config.warm_up, config.decay
    )
    first_step = int(torch.load(last, weights_only=True)["global_step"]) if resume else 0
    trainer = _trainer(config)
    trainer.fit(module, *_loaders(config, first_step), ckpt_path=str(last) if resume else None, weights_only=True)
    figures = {key: float(value) for key, value in trainer.callback_metrics.items()}
    return finished(config, module.average.module, trainer.global_step, figures)


def finished(config: AffinityTraining, net: nn.Module, steps: int, figures: dict[str, float]) -> Path:
    """Write a trained network with its record; the file."""
    excluded = {"volumes", "out", "attribution", "recommended"}
    record = {
        "attribution": config.attribution,
        "config": config.model_dump(mode="json", exclude=excluded),
        "data": seen(config),
        "figures": figures,
        "seed": config.seed,
        "steps": steps,
    }
    path = Path(config.out) / f"{config.name}.safetensors"
    save(path, model_spec(config, record), net)
    return path


def model_spec(config: AffinityTraining, record: dict[str, Any] | None = None) -> ModelSpec:
    """The spec that a config asks for.

    Raises:
        ConfigError: no network can have it.
    """
    levels = range(len(config.widths))
    architecture = {
        "kind": "residual_unet",
        "widths": list(config.widths),
        "plain": [level < config.plain_levels for level in levels],
        "flat": [level < config.flat_levels for level in levels],
        "entry": config.entry,
    }
    try:
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
            training=record or {},
            recommended=config.recommended,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _net(config: AffinityTraining, init_from: str | None) -> nn.Module:
    """A fresh network, with another model's weights if asked for."""
    spec = model_spec(config)
    try:
        net = build(spec)
        if init_from is None:
            return net
        given, source = load(resolve(init_from, "affinity"))
        if (given.architecture, given.offsets) != (spec.architecture, spec.offsets):
            raise ConfigError(f"--init-from {init_from}: its architecture or offsets are not those of the config")
        net.load_state_dict(source.state_dict())
        return net
    except (ValueError, OSError) as error:
        raise ConfigError(f"{config.name}: {error}") from None


def _trainer(config: AffinityTraining) -> lightning.Trainer:
    quiet_lightning()
    keep = ModelCheckpoint(
        config.out, "{step}", every_n_train_steps=config.validate_every, save_last=True, save_top_k=-1
    )
    return lightning.Trainer(
        max_steps=config.steps,
        accelerator="auto",
        precision=config.precision,
        gradient_clip_val=CLIP_NORM,
        val_check_interval=config.validate_every,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        callbacks=[keep, StepBar(config.steps)],
        logger=TensorBoardLogger(config.out, name="", version="events"),
        log_every_n_steps=min(10, config.steps),
        enable_model_summary=False,
        enable_progress_bar=False,
    )


def _loaders(config: AffinityTraining, first_step: int) -> tuple[Any, Any]:
    def crops(part: str, size_vx: Triple) -> Crops:
        x, y, z = size_vx
        nm = config.voxel_nm
        parts = [part_of(volume, part) for volume in config.volumes]
        try:
            return Crops(parts, (z, y, x), config.offsets, config.seed, (nm[2], nm[1], nm[0]))
        except ValueError as error:
            raise ConfigError(f"{part}: {error}; choose a smaller crop or a larger box") from None

    training = TrainingCrops(crops("train", config.crop_vx), config.batch, first_step)
    tuning = ValidationCrops(crops("tune", config.tune_crop_vx), config.tune_crops)
    return DataLoader(training, config.batch, num_workers=config.loaders), DataLoader(tuning, 1)
