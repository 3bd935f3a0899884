"""What a denoiser is trained on, and what a person should know about it before Noise2Void is trusted.

Noise2Void assumes that the noise of one pixel tells nothing of its neighbour's. What breaks that is warned about; what
would mix two noise models is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emseg.pipeline.denoise_config import DenoiseTraining, NoisyVolume
from emseg.pipeline.train_volumes import opened
from emseg.tasks.arrays.noise_correlation import NoiseReport, noise_report
from emseg.tasks.volume.bbox import BBox, vec
from emseg.tasks.volume.errors import ConfigError

SAMPLE_VX = (512, 512, 64)  # of a volume's middle, for its noise
UNLIKE_MEAN, UNLIKE_RATIO = 0.5, 1.5
NOT_DECONVOLUTION = (
    "Noise2Void takes away noise that is independent from pixel to pixel; it is no deconvolution: blur stays"
)
NEVER_ZERO = (
    "the loss is taken against noisy pixels: it never reaches 0, its value says nothing about quality, "
    "and only its course within this training tells something"
)


@dataclass(frozen=True)
class NoisyImage:
    """A volume in memory: image uint8 or uint16 [z, y, x], where it is from, and its noise."""

    where: str
    image_ZYX: np.ndarray
    box: BBox
    digest: str
    warnings: tuple[str, ...]
    noise: NoiseReport


def noisy_image(volume: NoisyVolume, dims: int) -> NoisyImage:
    """Open one volume.

    Raises:
        ConfigError: its box leaves it, it has several channels and none is named, or its type is not taken.
    """
    source = opened(volume.image, volume.mip)
    box = BBox.of(*volume.box) if volume.box else source.bounds
    if box.empty or not source.bounds.holds(box):
        raise ConfigError(f"{source.where}: box {box} leaves it; it holds {source.bounds}")
    array = source.read(box)
    if len(array) > 1 and volume.channel is None:
        raise ConfigError(
            f"{source.where}: has {len(array)} channels, and each has its own noise; train one model per channel: "
            "name it with channel:"
        )
    number = volume.channel or 0
    if number >= len(array):
        raise ConfigError(
            f"{source.where}: has {len(array)} channels, counted from 0; channel {number} is none of them"
        )
    if array.dtype not in (np.uint8, np.uint16):
        raise ConfigError(f"{source.where}: is {array.dtype}; a denoiser is trained on uint8 or uint16 images")
    image = array[number]
    noise = noise_report(_middle(image), dims)
    warnings = (*storage_warnings(source.where, volume.mip, source.encoding), *_alignment(source.where, volume, noise))
    return NoisyImage(source.where, image, box, source.digest, warnings, noise)


def noisy_images(config: DenoiseTraining) -> list[NoisyImage]:
    """All volumes of a config.

    Raises:
        ConfigError: they are of different channels or types: two noise models.
    """
    channels = {volume.channel for volume in config.volumes}
    if len(channels) > 1:
        raise ConfigError(
            f"volumes: channels {sorted(map(str, channels))} are mixed; each channel has its own noise: train one "
            "model per channel"
        )
    images = [noisy_image(volume, config.dims) for volume in config.volumes]
    if len({image.image_ZYX.dtype for image in images}) > 1:
        raise ConfigError("volumes: uint8 and uint16 images are mixed; train one model for each")
    return images


def storage_warnings(where: str, mip: int, encoding: str) -> list[str]:
    """What a layer's mip and encoding do to its noise."""
    out = []
    if mip > 0:
        out.append(
            f"{where}: mip {mip} was down-sampled, which mixes neighbouring pixels and correlates their noise; "
            "Noise2Void assumes it is not: use mip 0"
        )
    if encoding == "jpeg":
        out.append(
            f"{where}: is stored as JPEG, whose blocks correlate the noise of neighbouring pixels; use a raw or PNG "
            "layer if there is one"
        )
    return out


def _alignment(where: str, volume: NoisyVolume, noise: NoiseReport) -> list[str]:
    if volume.alignment == "interpolated":
        return [
            f"{where}: interpolated alignment mixes neighbouring pixels and correlates their noise; denoise before "
            "alignment, or align by whole pixels (those are fine); going on all the same"
        ]
    if noise.resampled and volume.mip == 0:
        return [
            f"{where}: noise is correlated along two axes alike ({correlations(noise)}), as sub-pixel alignment, "
            "down-sampling or JPEG make it; if so, denoise the stack from before (shifts by whole pixels are fine); "
            "going on all the same"
        ]
    return []


def noise_in_sight(noise: NoiseReport, config: DenoiseTraining) -> bool:
    """Whether voxels that the network looks at share the noise of the voxel that is hidden from it."""
    hidden = config.struct_axis == noise.axis and config.struct_span >= noise.span
    return noise.resampled or (bool(noise.axis) and not hidden)


def noise_advice(noise: NoiseReport, config: DenoiseTraining) -> list[str]:
    """Noise along x, y, z, and whether structN2V should be used."""
    lines = [f"noise about {noise.sigma:.1f} grey levels; its correlation {correlations(noise)}"]
    if noise.axis and noise_in_sight(noise, config):
        lines.append(
            f"warning: noise is correlated along {noise.axis}: Noise2Void would keep it; use variant: structn2v, "
            f"struct_axis: {noise.axis}, struct_span: {noise.span} (another method for such noise is HDN)"
        )
    return lines


def correlations(noise: NoiseReport) -> str:
    """Correlations as text."""
    return ", ".join(
        f"{axis} " + "/".join(f"{v:.2f}" for v in lags) for axis, lags in noise.correlation.items() if lags
    )


def mixed(images: Sequence[NoisyImage]) -> list[str]:
    """Warnings where volumes look as if they were acquired differently."""
    out, first = [], images[0]
    mean, std = float(first.image_ZYX.mean()), float(first.image_ZYX.std()) or 1.0
    for other in images[1:]:
        shift = abs(float(other.image_ZYX.mean()) - mean) / std
        ratios = [times_apart(float(other.image_ZYX.std()), std), times_apart(other.noise.sigma, first.noise.sigma)]
        if shift > UNLIKE_MEAN or max(ratios) > UNLIKE_RATIO:
            out.append(
                f"{other.where}: grey levels or noise differ from {first.where} (mean {shift:.1f} standard deviations "
                f"apart, contrast ×{ratios[0]:.1f}, noise ×{ratios[1]:.1f}); a denoiser fits one kind of acquisition: "
                "train one for each"
            )
    return out


def times_apart(a: float, b: float) -> float:
    """The greater of two figures over the lesser; 1 where the lesser is 0."""
    low, high = sorted((a, b))
    return high / low if low > 0 else 1.0


def _middle(image_ZYX: np.ndarray) -> np.ndarray:
    x, y, z = image_ZYX.shape[::-1]
    low = vec([max(0, (n - s) // 2) for n, s in zip((x, y, z), SAMPLE_VX, strict=True)])
    box = BBox.sized(low, SAMPLE_VX).clipped(BBox.sized((0, 0, 0), (x, y, z)))
    out: np.ndarray = image_ZYX[box.slices_ZYX((0, 0, 0))]
    return out
