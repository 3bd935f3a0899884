"""Losses. Affinities: balanced cross-entropy, and Dice on the nearest neighbours. Denoising: squared error at spots."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

NEAREST = 3
DICE_WEIGHT = 0.5
LONG_RANGE_WEIGHT = 0.5
BALANCE = (0.1, 10.0)  # limits of the weight of positive edges


def affinity_loss(logits: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Scalar loss of logits [n, c, z, y, x] against 0/1 targets where the mask is 1.

    Each channel's cross-entropy weighs positives by negatives / positives, clipped; long-range channels count half;
    soft Dice (Milletari et al. 2016) of the nearest channels is added with weight 0.5.
    """
    kept = mask.to(logits.dtype)
    count = kept.sum((0, 2, 3, 4)).clamp(min=1)
    positive = (target * kept).sum((0, 2, 3, 4))
    balance = ((count - positive) / positive.clamp(min=1)).clamp(*BALANCE)
    entropy = functional.binary_cross_entropy_with_logits(
        logits, target, reduction="none", pos_weight=balance[:, None, None, None]
    )
    per_channel = (entropy * kept).sum((0, 2, 3, 4)) / count
    weight = torch.ones_like(per_channel)
    weight[NEAREST:] = LONG_RANGE_WEIGHT
    return (per_channel * weight).sum() / weight.sum() + DICE_WEIGHT * _dice(logits, target, kept)


def _dice(logits: Tensor, target: Tensor, kept: Tensor) -> Tensor:
    probability = torch.sigmoid(logits[:, :NEAREST]) * kept[:, :NEAREST]
    wanted = target[:, :NEAREST] * kept[:, :NEAREST]
    return 1 - (2 * (probability * wanted).sum() + 1) / (probability.sum() + wanted.sum() + 1)


def blind_spot_loss(output: Tensor, noisy: Tensor, spots: Tensor) -> Tensor:
    """Mean squared error [] of output against the noisy image, both [n, c, z, y, x], at the spots alone (bool).

    The target is noisy, so this never reaches 0; its value tells nothing about quality (Krull et al. 2019).
    """
    kept = spots.to(output.dtype)
    return ((output - noisy) ** 2 * kept).sum() / kept.sum().clamp(min=1)
