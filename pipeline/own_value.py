"""The share of a voxel's own value in a denoiser's result: what training may say of it (decision 013)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emseg.models.own_share import own_share
from emseg.pipeline.denoise_config import DenoiseTraining
from emseg.pipeline.denoise_volumes import NoisyImage, noise_in_sight


def hidden_sigma(config: DenoiseTraining, images: Sequence[NoisyImage]) -> float:
    """Standard deviation, in grey levels, of the noise that no voxel in sight of the network shares.

    structN2V hides its axis, so all noise along it counts; else what is white.
    """
    sigmas = [i.noise.along[config.struct_axis] if config.struct_axis else i.noise.sigma for i in images]
    voxels = [i.image_ZYX.size for i in images]
    return float(np.sqrt(np.average(np.square(sigmas), weights=voxels)))


def share_of(config: DenoiseTraining, images: Sequence[NoisyImage], std: float, loss: float) -> float:
    """Share in [0, 1) by the loss at blind spots, of images divided by `std`; 0 where the network sees the noise."""
    if any(noise_in_sight(image.noise, config) for image in images):
        return 0.0
    return own_share(loss, (hidden_sigma(config, images) / std) ** 2)


def own_value_lines(config: DenoiseTraining, images: Sequence[NoisyImage], share: float) -> list[str]:
    """What a person should know of the share: what it would bring, or why there is none."""
    if share and config.own_value:
        return [f"a voxel's own value is mixed in by {100 * share:.0f} %"]
    if share:
        hint = "own_value: true, or stages.denoise.own_share, mixes it in"
        return [f"a voxel's own value tells {100 * share:.0f} %: {hint}"]
    if not config.own_value:
        return []
    seen = any(noise_in_sight(image.noise, config) for image in images)
    why = "the network sees the same noise in neighbours" if seen else "the loss is no greater than the noise"
    return [f"warning: own_value is without effect: {why}"]
