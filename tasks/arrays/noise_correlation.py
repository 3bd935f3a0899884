"""How a volume's noise is correlated along x, y and z, and what is left in a residual; no clean image is needed.

To look along one axis, the image is filtered by differences of order 6 (of order 2 on thin axes) along the other axes
only. That takes away most of the tissue, which is smooth there, and mixes no noise along the axis in question: white
noise stays white on it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

AXES = {"x": 2, "y": 1, "z": 0}
LAGS = 3
ORDER, THIN_ORDER, THIN_VX = 6, 2, 16  # of differences; an axis of fewer voxels is thin
CORRELATED, APART = 0.2, 0.15  # of the correlation at lag 1
SPAN_FLOOR = 0.1  # lags with less are left out of the span
WHITE = 0.05


@dataclass(frozen=True)
class NoiseReport:
    """Noise of a volume.

    Attributes:
        sigma: standard deviation of its white part, grey levels.
        along: axis -> standard deviation of all noise that is not correlated along the other axes, grey levels: what
            structN2V along this axis takes away.
        correlation: axis -> correlation at lags 1, 2, 3 voxels; fewer on thin axes.
        axis: along which structN2V should hide ('' if none).
        span: how many voxels it should hide, odd.
        resampled: whether noise is correlated along two axes or more alike, as interpolation and down-sampling make it.
    """

    sigma: float
    along: dict[str, float]
    correlation: dict[str, list[float]]
    axis: str
    span: int
    resampled: bool


def noise_report(image_ZYX: np.ndarray, dims: int) -> NoiseReport:
    """Noise of an image.

    Args:
        image_ZYX: any real dtype [z, y, x].
        dims: 2 if sections are too thick to compare, 3 otherwise.
    """
    image = image_ZYX.astype(np.float64)
    measured = {name: _along(image, axis, dims) for name, axis in AXES.items()}
    correlation = {name: lags for name, (lags, _) in measured.items()}
    first = {name: lags[0] if lags else 0.0 for name, lags in correlation.items()}
    order = sorted(first, key=lambda name: first[name], reverse=True)
    single = first[order[0]] > CORRELATED and first[order[0]] > first[order[1]] + APART
    reach = max((k + 1 for k, value in enumerate(correlation[order[0]]) if value > SPAN_FLOOR), default=1)
    alike = sum(value > CORRELATED for value in first.values()) >= 2 and not single
    along = {name: sigma for name, (lags, sigma) in measured.items() if lags}
    return NoiseReport(
        min(along.values(), default=0.0), along, correlation, order[0] if single else "", 2 * reach + 1, alike
    )


def residual_correlation(residual_ZYX: np.ndarray) -> dict[str, list[float]]:
    """Axis -> correlation of a residual (noisy − denoised) at lags 1, 2, 3; about 0 if only white noise was taken."""
    centred = residual_ZYX.astype(np.float64) - float(residual_ZYX.mean())
    return {name: _lags(centred, axis) for name, axis in AXES.items()}


def correlation_with(residual_ZYX: np.ndarray, denoised_ZYX: np.ndarray) -> float:
    """Correlation of a residual with the denoised image; far from 0 if tissue was taken with the noise."""
    a = residual_ZYX.astype(np.float64) - float(residual_ZYX.mean())
    b = denoised_ZYX.astype(np.float64) - float(denoised_ZYX.mean())
    scale = math.sqrt(float((a * a).sum()) * float((b * b).sum()))
    return float((a * b).sum()) / scale if scale else 0.0


def is_white(correlation: dict[str, list[float]]) -> bool:
    """Whether no lag on any axis is correlated by more than 5 %."""
    return all(abs(value) <= WHITE for lags in correlation.values() for value in lags)


def _along(image: np.ndarray, axis: int, dims: int) -> tuple[list[float], float]:
    """Correlations along an axis, and the noise's standard deviation there."""
    filtered, gain = image, 1.0
    for other in range(3):
        order = ORDER if image.shape[other] >= THIN_VX else THIN_ORDER
        if other != axis and (dims == 3 or other != 0) and image.shape[other] > order:
            filtered, gain = np.diff(filtered, order, other), gain * math.comb(2 * order, order)  # of white variance
    return _lags(filtered, axis), math.sqrt(float((filtered**2).mean()) / gain)


def _lags(values: np.ndarray, axis: int) -> list[float]:
    power, n = float((values**2).mean()), values.shape[axis]
    out = []
    for lag in range(1, min(LAGS, n - 1) + 1):
        a, b = np.take(values, range(n - lag), axis), np.take(values, range(lag, n), axis)
        out.append(float((a * b).mean()) / power if power else 0.0)
    return out
