"""Filters that denoisers are measured against. Those called oracle choose their width by the clean image."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from denoise_data import DIMS
from scipy.ndimage import gaussian_filter, median_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from skimage.restoration import denoise_nl_means

from emseg.tasks.arrays.noise_correlation import noise_report

PEAK = 255
WIDTHS = [round(0.3 + 0.1 * i, 1) for i in range(18)]
NLM = {3: {"patch_size": 3, "patch_distance": 4}, 2: {"patch_size": 5, "patch_distance": 8}}


def psnr(clean: np.ndarray, found: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, peak 255."""
    return float(peak_signal_noise_ratio(clean.astype(np.float64), found.astype(np.float64), data_range=PEAK))


def ssim(clean: np.ndarray, found: np.ndarray) -> float:
    """Structural similarity, mean over sections, window 7."""
    pairs = zip(clean.astype(np.float64), found.astype(np.float64), strict=True)
    return float(np.mean([structural_similarity(a, b, data_range=PEAK) for a, b in pairs]))


def blurred(noisy: np.ndarray, width: float, dims: int) -> np.ndarray:
    """Gaussian filter in sections or in the volume."""
    out: np.ndarray = gaussian_filter(noisy.astype(np.float64), (width if dims == 3 else 0, width, width))
    return out


def blind_width(noisy: np.ndarray, dims: int) -> float:
    """Width of least Stein's unbiased risk (Stein 1981), with the noise estimated from the noisy image alone."""
    sigma = noise_report(noisy, dims).sigma
    impulse = np.zeros((33,) * 3 if dims == 3 else (1, 33, 33))
    centre = tuple(n // 2 for n in impulse.shape)
    impulse[centre] = 1

    def risk(width: float) -> float:
        found = blurred(noisy, width, dims)
        return float(((found - noisy) ** 2).mean()) + 2 * sigma**2 * float(blurred(impulse, width, dims)[centre])

    return min(WIDTHS, key=risk)


def oracle(noisy: np.ndarray, clean: np.ndarray, dims: int, widths: Sequence[float] = WIDTHS) -> np.ndarray:
    """The Gaussian filter of greatest PSNR against the clean image."""
    return max((blurred(noisy, width, dims) for width in widths), key=lambda found: psnr(clean, found))


def nlm(noisy: np.ndarray, dims: int) -> np.ndarray:
    """Non-local means (Buades et al. 2005) with the noise estimated from the noisy image."""
    sigma = noise_report(noisy, dims).sigma
    options = {"h": 0.8 * sigma, "sigma": sigma, "fast_mode": True, **NLM[dims]}
    image = noisy.astype(np.float32)
    if dims == 3:
        out: np.ndarray = denoise_nl_means(image, **options)
        return out
    return np.stack([denoise_nl_means(section, **options) for section in image])


def filters(volume: str, clean: np.ndarray) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Method -> function of the noisy crop."""
    dims = DIMS[volume]
    return {
        "noisy": lambda noisy: noisy,
        "gaussian_blind": lambda noisy: blurred(noisy, blind_width(noisy, dims), dims),
        "gaussian2d_oracle": lambda noisy: oracle(noisy, clean, 2),
        "gaussian3d_oracle": lambda noisy: oracle(noisy, clean, 3),
        "median": lambda noisy: median_filter(noisy, 3 if dims == 3 else (1, 3, 3)),
        "nlm": lambda noisy: nlm(noisy, dims),
    }
