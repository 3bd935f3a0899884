"""Logits <-> uint8 codes, and the table of what each code weighs.

linear: code = floor(255·sigmoid(logit) + 0.5), table[c] = 257·c.
logit: code = clip(floor(gain·logit + 128 + 0.5), 0, 255), table[c] = floor(65535·sigmoid((c − 128) / gain) + 0.5).
A weight of 65535 is probability 1. Linear codes pile up at 255 where a network is sure; logit codes keep order there.
grey: what a denoiser gives out, scaled back to grey values; no table.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from emseg.models.spec import ModelSpec

TOP_WEIGHT = 65535
MIDDLE = 128


def code_table(spec: ModelSpec) -> np.ndarray:
    """uint16 [256]: weight of each code, strictly rising.

    Raises:
        ValueError: the gain is so low or high that two codes weigh the same.
    """
    codes = np.arange(256)
    if spec.coding["kind"] == "linear":
        linear: np.ndarray = (257 * codes).astype(np.uint16)
        return linear
    places = (codes - MIDDLE).astype(np.float64) / float(spec.coding["gain"])
    table: np.ndarray = np.floor(TOP_WEIGHT / (1 + np.exp(-np.clip(places, -80, 80))) + 0.5).astype(np.uint16)
    if (np.diff(table.astype(np.int64)) <= 0).any():
        raise ValueError(f"model spec: a gain of {spec.coding['gain']} gives two codes the same weight")
    return table


def encode(spec: ModelSpec, logits: np.ndarray) -> np.ndarray:
    """uint8 codes of float32 logits, of the same shape.

    Raises:
        ValueError: a logit is NaN.
    """
    if np.isnan(logits).any():
        raise ValueError(f"model {spec.name}: its output holds NaN; check weights, precision and input")
    if spec.coding["kind"] == "linear":
        scaled = np.float32(255) / (1 + np.exp(-np.clip(logits, -80, 80)))
    else:
        scaled = np.clip(logits * np.float32(spec.coding["gain"]) + np.float32(MIDDLE), 0, 255)
    codes: np.ndarray = np.floor(scaled + np.float32(0.5)).astype(np.uint8)
    return codes


def grey_values(spec: ModelSpec, output: np.ndarray, dtype: np.dtype[Any], clip: tuple[float, float]) -> np.ndarray:
    """Grey values of a denoiser's float32 output, of the same shape: scaled back, clipped, rounded half up.

    Args:
        spec: of the denoiser.
        output: normalised grey values.
        dtype: uint8 or uint16, or float32, which is clipped and not rounded.
        clip: least and greatest value.

    Raises:
        ValueError: a value is NaN.
    """
    if np.isnan(output).any():
        raise ValueError(f"model {spec.name}: its output holds NaN; check weights, precision and input")
    n = spec.normalisation
    values = (output * np.float32(n["std"]) + np.float32(n["mean"])) * np.float32(n["scale"])
    clipped = np.clip(values, np.float32(clip[0]), np.float32(clip[1]))
    out: np.ndarray = (clipped if dtype.kind == "f" else np.floor(clipped + np.float32(0.5))).astype(dtype)
    return out
