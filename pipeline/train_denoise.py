"""`emseg train denoise CONFIG`: opens noisy images and hands them to the trainer. No clean image is ever needed.

Writes, below `out`: `best.ckpt` and `last.ckpt` (for --resume), TensorBoard events with pictures before and after,
`curves.png`, and the finished model as `<name>.safetensors`, with `<name>-best.safetensors` beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from torch import nn
from torch.utils.data import DataLoader

from emseg.models.architectures import build
from emseg.models.blind_spots import BlindSpots
from emseg.models.checkpoint import load, resolve, save
from emseg.models.curve_picture import draw_curves
from emseg.models.dataset import TrainingCrops, ValidationCrops
from emseg.models.denoise_module import DenoiseModule
from emseg.models.denoise_unet import DenoiseShape
from emseg.models.held_memory import held_memory
from emseg.models.patches import Patches
from emseg.models.spec import ModelSpec
from emseg.pipeline.denoise_config import DenoiseTraining
from emseg.pipeline.denoise_volumes import (
    NEVER_ZERO,
    NOT_DECONVOLUTION,
    NoisyImage,
    mixed,
    noise_advice,
    noisy_images,
)
from emseg.pipeline.own_value import hidden_sigma, own_value_lines, share_of
from emseg.pipeline.train_progress import StepBar, quiet_lightning
from emseg.pipeline.train_resume import last_checkpoint
from emseg.pipeline.train_volumes import require_volumes
from emseg.pipeline.yamlfile import load_yaml
from emseg.tasks.volume.errors import ConfigError

LEARNING_RATE = 4e-4
STILL_FALLING, LAST_EPOCHS = 0.01, 5
AXES = {None: None, "x": 2, "y": 1, "z": 0}
Say = Callable[[str], None]


class EpochData(lightning.LightningDataModule):  # type: ignore[misc]
    """Patches whose numbers go on from epoch to epoch, and from a checkpoint."""

    def __init__(self, patches: Patches, config: DenoiseTraining) -> None:
        super().__init__()
        self.patches, self.config = patches, config
        self.validation = ValidationCrops(patches, len(patches.validation))

    def train_dataloader(self) -> Any:
        """Patches of the steps from here on."""
        crops = TrainingCrops(self.patches, self.config.batch, self.trainer.global_step)
        return DataLoader(crops, self.config.batch, num_workers=self.config.loaders)

    def val_dataloader(self) -> Any:
        """The fixed patches."""
        return DataLoader(self.validation, self.config.batch)


def train_denoise(
    path: Path,
    *,
    resume: bool = False,
    init_from: str | None = None,
    sets: tuple[str, ...] = (),
    say: Say = lambda line: None,
) -> Path:
    """Train; the finished model's file.

    Args:
        path: config.
        resume: go on from the last checkpoint below `out`: weights, optimiser, rate, step, patches, curves.
        init_from: start from another denoiser's weights, with the rate that its training ended with.
        sets: overrides as for run.yaml.
        say: takes lines for people: warnings, advice, images seen.

    Raises:
        ConfigError, LayerError: the config, its volumes, or the model to start from cannot be used.
    """
    config = load_yaml(DenoiseTraining, path, sets)
    require_volumes(path, [volume.image for volume in config.volumes])
    last = last_checkpoint(config.out, resume)
    images = noisy_images(config)
    levels = levels_of(images)
    torch.set_num_threads(config.threads)
    lightning.seed_everything(config.seed, verbose=False)
    net, rate = _start(config, levels, init_from, say)
    data = EpochData(patches_of(config, images, levels), config)
    steps = config.steps or -(-len(data.patches.training) // config.batch)
    _advise(config, images, data.patches, steps, say)
    module = _module(config, net, rate, data.validation, say)
    trainer = _trainer(config, steps)
    with held_memory():
        trainer.fit(module, datamodule=data, ckpt_path=str(last) if resume else None, weights_only=True)
    return finished(config, images, levels, module, trainer.global_step, say)


def levels_of(images: list[NoisyImage]) -> tuple[float, float]:
    """Mean and standard deviation of the whole training set."""
    count = sum(image.image_ZYX.size for image in images)
    mean = sum(float(image.image_ZYX.sum(dtype=np.float64)) for image in images) / count
    squares = sum(float(((image.image_ZYX - mean) ** 2).sum(dtype=np.float64)) for image in images)
    return mean, float(np.sqrt(squares / count)) or 1.0


def patches_of(config: DenoiseTraining, images: list[NoisyImage], levels: tuple[float, float]) -> Patches:
    """Patches of normalised images.

    Raises:
        ConfigError: a volume is too small.
    """
    volumes = [((image.image_ZYX.astype(np.float32) - levels[0]) / levels[1]).astype(np.float32) for image in images]
    spots = BlindSpots(
        config.masked_percent / 100,
        config.dims,
        config.radius,
        config.hiding,
        AXES[config.struct_axis],
        config.struct_span,
    )
    (x, y, z), nm = config.patch, config.voxel_nm
    try:
        return Patches(volumes, (z, y, x), spots, config.seed, (nm[2], nm[1], nm[0]), config.validation_percent / 100)
    except ValueError as error:
        raise ConfigError(f"{config.name}: {error}") from None


def model_spec(config: DenoiseTraining, levels: tuple[float, float], record: dict[str, Any] | None = None) -> ModelSpec:
    """The spec that a config asks for; its halo is computed from the network.

    Raises:
        ConfigError: no network can have it, or patches that it cannot take.
    """
    architecture = {
        "kind": "denoise_unet",
        "dims": config.dims,
        "depth": config.depth,
        "features": config.features,
        "n2v2": config.variant == "n2v2",
        "pool_z": config.pool_z,
        "residual": config.residual,
    }
    try:
        shape = DenoiseShape.parsed(architecture)
        if any(side % m for side, m in zip(config.patch, shape.multiple_xyz, strict=True)):
            raise ValueError(f"sides of patch_vx {list(config.patch)} must be multiples of {list(shape.multiple_xyz)}")
        return ModelSpec(
            name=config.name,
            family="denoise",
            architecture=architecture,
            in_channels=1,
            offsets=(),
            patch_vx=_plus(config.tile, shape.halo_xyz, 2),
            stride_vx=config.tile,
            halo_vx=shape.halo_xyz,
            phase_vx=_plus((0, 0, 0), shape.halo_xyz, -1),  # tiles lie at multiples of their size, as chunks do
            voxel_nm=config.voxel_nm,
            normalisation={"scale": 1.0, "mean": levels[0], "std": levels[1]},
            coding={"kind": "grey"},
            activation="identity",
            training=record or {},
            own_share=record["figures"]["own_share"] if record and config.own_value else 0.0,
        )
    except ValueError as error:
        raise ConfigError(f"{config.name}: {error}") from None


def _plus(tile: tuple[int, int, int], halo: tuple[int, int, int], times: int) -> tuple[int, int, int]:
    x, y, z = (t + times * h for t, h in zip(tile, halo, strict=True))
    return (x, y, z)


def _start(
    config: DenoiseTraining, levels: tuple[float, float], init_from: str | None, say: Say
) -> tuple[nn.Module, float]:
    """The network and the learning rate to start with."""
    spec = model_spec(config, levels)
    try:
        net = build(spec)
        if init_from is None:
            return net, config.learning_rate or LEARNING_RATE
        given, source = load(resolve(init_from))
    except (ValueError, OSError) as error:
        raise ConfigError(f"{config.name}: {error}") from None
    if given.architecture != spec.architecture:
        raise ConfigError(f"--init-from {init_from}: its architecture is not that of the config")
    net.load_state_dict(source.state_dict())
    ended = float(given.training.get("learning_rate", LEARNING_RATE))
    rate = config.learning_rate or ended
    say(f"weights of {given.name}; learning rate {rate:g}, where its training ended at {ended:g}")
    if abs(given.normalisation["mean"] - levels[0]) > given.normalisation["std"] / 2:
        say(f"warning: {given.name} was trained on other grey levels; pretraining helps on similar acquisitions only")
    return net, rate


def _advise(config: DenoiseTraining, images: list[NoisyImage], patches: Patches, steps: int, say: Say) -> None:
    for line in (*(w for image in images for w in image.warnings), *mixed(images)):
        say(f"warning: {line}")
    for image in images:
        for line in noise_advice(image.noise, config):
            say(f"{line}" if line.startswith("warning") else f"{image.where}: {line}")
    cells = len(patches.training)
    say(f"{cells} patches to train on, {len(patches.validation)} to validate on, never trained on")
    seen = config.batch * steps * config.epochs
    say(f"batch {config.batch} × {steps} steps × {config.epochs} epochs = {seen} images seen")
    say(NEVER_ZERO)
    say(NOT_DECONVOLUTION)


def _module(
    config: DenoiseTraining, net: nn.Module, rate: float, validation: ValidationCrops, say: Say
) -> DenoiseModule:
    cosine = config.epochs if config.schedule == "cosine" else None
    norm = config.epochs * config.norm_percent // 100
    return DenoiseModule(
        net,
        rate,
        validation,
        config.decay,
        lambda line: say(f"warning: {line}"),
        cosine_epochs=cosine,
        norm_epochs=norm,
    )


def _trainer(config: DenoiseTraining, steps: int) -> lightning.Trainer:
    quiet_lightning()
    best = ModelCheckpoint(config.out, "best", monitor="validation/loss", enable_version_counter=False)
    last = ModelCheckpoint(config.out, "last", save_on_train_epoch_end=True, enable_version_counter=False)
    return lightning.Trainer(
        max_epochs=config.epochs,
        limit_train_batches=steps,
        reload_dataloaders_every_n_epochs=1,
        accelerator="auto",
        precision=config.precision,
        num_sanity_val_steps=0,
        callbacks=[best, last, StepBar(config.epochs * steps)],
        logger=TensorBoardLogger(config.out, name="", version="events"),
        log_every_n_steps=min(10, steps),
        enable_model_summary=False,
        enable_progress_bar=False,
    )


def finished(
    config: DenoiseTraining,
    images: list[NoisyImage],
    levels: tuple[float, float],
    module: DenoiseModule,
    steps: int,
    say: Say,
) -> Path:
    """Write the model, its best sister and the curves; the model's file."""
    curves, folder = module.curves, Path(config.out)
    best_epoch = int(np.argmin(curves["validation"])) + 1
    record = {
        "attribution": config.attribution,
        "config": config.model_dump(mode="json", exclude={"volumes", "out", "attribution"}),
        "data": [_seen(image) for image in images],
        "learning_rate": curves["learning_rate"][-1],
        "noise_sigma": images[0].noise.sigma,
        "hidden_noise_sigma": hidden_sigma(config, images),
        "seed": config.seed,
        "steps": steps,
    }

    def spec_at(epoch: int) -> ModelSpec:
        loss = curves["validation"][epoch - 1]
        share = share_of(config, images, levels[1], loss)
        figures = {"validation/loss": loss, "best_epoch": best_epoch, "own_share": share}
        return model_spec(config, levels, record | {"figures": figures})

    last, best = spec_at(len(curves["validation"])), spec_at(best_epoch)
    net, path = module.average.module, folder / f"{config.name}.safetensors"
    save(path, last, net)
    prefix, kept = "average.module.", torch.load(folder / "best.ckpt", weights_only=True)["state_dict"]
    net.load_state_dict({name.removeprefix(prefix): kept[name] for name in kept if name.startswith(prefix)})
    save(folder / f"{config.name}-best.safetensors", best, net)
    if config.keep == "best":
        save(path, best, net)
    losses = {name: curves[name] for name in ("train", "validation")}
    draw_curves(folder / "curves.png", losses, f"{config.name}: loss at blind spots, against noisy pixels")
    say(f"curves: {folder / 'curves.png'}; validation was lowest in epoch {best_epoch} of {len(curves['validation'])}")
    kept_spec = best if config.keep == "best" else last
    for line in own_value_lines(config, images, kept_spec.training["figures"]["own_share"]):
        say(line)
    if _still_falling(curves["validation"]):
        say("the validation loss was still falling: train longer (--resume with more epochs)")
    return path


def _still_falling(validation: list[float]) -> bool:
    before = validation[:-LAST_EPOCHS]
    return bool(before) and min(validation[-LAST_EPOCHS:]) < (1 - STILL_FALLING) * min(before)


def _seen(image: NoisyImage) -> dict[str, Any]:
    name = image.where.rsplit("/", 1)[-1]
    return {"name": name, "sha256": image.digest, "part": "train", "bbox": [list(v) for v in image.box.to_json()]}
