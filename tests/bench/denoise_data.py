"""Fixed crops, fixed noise. numpy, scipy and h5py only: the environment of CAREamics reads it too."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
from scipy.ndimage import convolve1d

DATA = Path(os.environ.get("EMSEG_DATA", "../shared/data"))
CROPS = {
    "fib": ("fib25/raw_b.h5", (slice(93, 157), slice(61, 189), slice(61, 189))),
    "isbi": ("isbi2012/unlabelled.h5", (slice(6, 24), slice(128, 384), slice(128, 384))),
}
DIMS = {"fib": 3, "isbi": 2}
NOISES = ("gaussian", "xcorr", "poisson_gaussian")
MIDDLE = 128.0  # grey level at which Poisson-Gaussian noise has the named sigma
PATCH_ZYX = {"fib": (16, 32, 32), "isbi": (1, 64, 64)}
BATCH = {"fib": 2, "isbi": 4}
STEPS = {"fib": 2000, "isbi": 2000}
STEPS_PER_EPOCH = 40
THREADS = 1  # seconds and voxels a second are those of one core, however busy the machine is
PRECISION = "bf16-mixed"  # of training, CAREamics' too: half the time where a CPU has avx512_bf16
RECIPE = {  # of emseg: as much as so few steps can learn
    "learning_rate": 2e-3,
    "schedule": "cosine",
    "decay": 0.97,
    "norm_percent": 40,
    "masked_percent": 5.0,
    "precision": PRECISION,
    "steps": STEPS_PER_EPOCH,
    "threads": THREADS,
}


def clean_crop(volume: str) -> np.ndarray:
    """uint8 [z, y, x]: what scores are taken against. It has noise of its own, so no score is a ceiling."""
    file, crop = CROPS[volume]
    with h5py.File(DATA / file) as opened:
        out: np.ndarray = opened["raw"][crop]
    return out


def noisy_crop(volume: str, noise: str, sigma: float, seed: int) -> np.ndarray:
    """uint8 [z, y, x]: the crop with noise, rounded and clipped as a detector would."""
    return with_noise(clean_crop(volume), noise, sigma, seed)


def with_noise(clean: np.ndarray, noise: str, sigma: float, seed: int) -> np.ndarray:
    """Gaussian; its running mean over three voxels along x, of the same sigma; or half its variance from counting."""
    rng = np.random.default_rng([seed, NOISES.index(noise)])
    values = clean.astype(np.float64)
    if noise == "gaussian":
        values = values + rng.normal(0, sigma, clean.shape)
    elif noise == "xcorr":
        values = values + sigma * convolve1d(rng.standard_normal(clean.shape), np.full(3, 3**-0.5), axis=2)
    else:
        counts = MIDDLE / (sigma**2 / 2)
        values = rng.poisson(values * counts) / counts + rng.normal(0, sigma / 2**0.5, clean.shape)
    out: np.ndarray = np.floor(np.clip(values, 0, 255) + 0.5).astype(np.uint8)
    return out
