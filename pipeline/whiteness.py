"""`emseg noise` and `emseg whiteness`: what noise there is, what a denoiser took away. No clean image is needed."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal

import numpy as np

from emseg.pipeline.train_volumes import Opened, opened
from emseg.tasks.arrays.noise_correlation import correlation_with, is_white, noise_report, residual_correlation
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import ConfigError

SAMPLE_VX = (512, 512, 128)
GREY = ("uint8", "uint16", "float32", "float64")
NOTHING = (
    "nothing was taken away: the residual is one constant; give the image before and the image after denoising, or "
    "train longer"
)
OF_TISSUE = 0.2  # correlation with the image above which tissue was taken too


def middle_of(bounds: BBox, size_vx: tuple[int, int, int] = SAMPLE_VX) -> BBox:
    """Box of at most a size in the middle of bounds."""
    low = [a + max(0, (n - s) // 2) for a, n, s in zip(bounds.min, bounds.size, size_vx, strict=True)]
    return BBox.sized(low, size_vx).clipped(bounds)


def noise_of(source: str, dims: Literal[2, 3], mip: int = 0) -> dict[str, Any]:
    """Noise of the middle of a layer or file: sigma, correlations, the axis for structN2V, advice."""
    found = opened(source, mip)
    report = noise_report(_grey(found.read(middle_of(found.bounds)), found.where), dims)
    if report.axis:
        advice = (
            f"noise is correlated along {report.axis}: train with variant: structn2v, struct_axis: {report.axis}, "
            f"struct_span: {report.span} (another method for such noise is HDN)"
        )
    elif report.resampled:
        advice = (
            "noise is correlated along two axes alike, as sub-pixel alignment, down-sampling or JPEG make it: denoise "
            "the images from before, if there are any; no variant of Noise2Void undoes it"
        )
    else:
        advice = "noise is independent from voxel to voxel, as Noise2Void assumes: variant n2v or n2v2"
    return {**asdict(report), "advice": advice}


def whiteness_of(noisy: str, denoised: str, mip: int = 0, bbox: BBox | None = None) -> dict[str, Any]:
    """Mean, standard deviation and correlations of noisy − denoised in the middle of a box, and a verdict.

    Args:
        noisy, denoised: layers or files.
        mip: of layers.
        bbox: where to compare; default: all, which must be the same box of both.

    Raises:
        ConfigError: the two are of different boxes, or do not hold `bbox`.
    """
    before, after = opened(noisy, mip), opened(denoised, mip)
    box = middle_of(_shared(before, after, bbox))
    clean_ZYX = _grey(after.read(box), after.where).astype(np.float64)
    residual_ZYX = _grey(before.read(box), before.where) - clean_ZYX
    correlation, along = residual_correlation(residual_ZYX), correlation_with(residual_ZYX, clean_ZYX)
    return {
        "bbox": str(box),
        "mean": float(residual_ZYX.mean()),
        "std": float(residual_ZYX.std()),
        "correlation": correlation,
        "with_image": along,
        "verdict": _verdict(is_white(correlation), abs(along) > OF_TISSUE) if np.ptp(residual_ZYX) else NOTHING,
    }


def _shared(before: Opened, after: Opened, bbox: BBox | None) -> BBox:
    """The box to compare.

    Raises:
        ConfigError: nobody said where, and the two differ; or the box is not inside both.
    """
    holds = f"{before.where} holds {before.bounds}, {after.where} {after.bounds}"
    if bbox is None and before.bounds != after.bounds:
        raise ConfigError(
            f"{holds}: give one image before and after denoising, or, if one is a part of the other, --bbox inside both"
        )
    box = before.bounds if bbox is None else bbox
    if box.empty or not (before.bounds.holds(box) and after.bounds.holds(box)):
        raise ConfigError(f"--bbox {box} must hold a voxel and lie inside both: {holds}")
    return box


def _verdict(white: bool, tissue: bool) -> str:
    if tissue:
        return (
            "the residual resembles the image: tissue was taken with the noise; train longer, or on images like these"
        )
    if not white:
        return (
            "the residual is not white: structure was taken with the noise, or the noise is correlated (`emseg noise`)"
        )
    return "the residual is white and unlike the image: what was taken looks like noise"


def _grey(array_CZYX: np.ndarray, where: str) -> np.ndarray:
    if len(array_CZYX) != 1:
        raise ConfigError(f"{where}: has {len(array_CZYX)} channels; give an image of one")
    if array_CZYX.dtype.name not in GREY:
        raise ConfigError(f"{where}: is {array_CZYX.dtype}; give an image of grey levels: {', '.join(GREY)}")
    out: np.ndarray = array_CZYX[0]
    return out
