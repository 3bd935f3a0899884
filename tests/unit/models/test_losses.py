"""The training loss."""

import numpy as np
import torch

from emseg.models.losses import affinity_loss


def case(seed=0):
    """Random logits, targets and mask of 4 channels."""
    make = torch.Generator().manual_seed(seed)
    shape = (2, 4, 3, 4, 5)
    target = (torch.rand(shape, generator=make) < 0.7).float()
    return torch.randn(shape, generator=make), target, torch.rand(shape, generator=make) < 0.8


def plain_loss(logits, target, mask):
    """The loss by its definition in float64, channel by channel."""
    x, t, m = (a.numpy().astype(np.float64) for a in (logits, target, mask))
    p = 1 / (1 + np.exp(-x))
    total = weights = 0.0
    for c in range(x.shape[1]):
        kept = m[:, c] == 1
        positive = (t[:, c][kept] == 1).sum()
        balance = np.clip((kept.sum() - positive) / max(positive, 1), 0.1, 10)
        entropy = -(balance * t[:, c] * np.log(p[:, c]) + (1 - t[:, c]) * np.log(1 - p[:, c]))
        weight = 1.0 if c < 3 else 0.5
        total, weights = total + weight * entropy[kept].mean(), weights + weight
    near, wanted = (p * m)[:, :3], (t * m)[:, :3]
    return total / weights + 0.5 * (1 - (2 * (near * wanted).sum() + 1) / (near.sum() + wanted.sum() + 1))


def test_loss_is_its_definition():
    """Balanced cross-entropy, long range half, plus half the Dice loss of the nearest channels."""
    for seed in range(3):
        np.testing.assert_allclose(affinity_loss(*case(seed)).item(), plain_loss(*case(seed)), rtol=1e-5)


def test_masked_edges_do_not_count():
    """What stands where the mask is 0 changes nothing, and has no gradient."""
    logits, target, mask = case()
    other = torch.where(mask, target, 1 - target)
    assert torch.equal(affinity_loss(logits, target, mask), affinity_loss(logits, other, mask))
    logits.requires_grad_()
    affinity_loss(logits, target, mask).backward()
    assert (logits.grad[~mask] == 0).all()
    assert (logits.grad[mask] != 0).all()


def test_a_crop_without_trusted_edges_has_a_finite_loss():
    """An all-unknown crop teaches nothing and breaks nothing."""
    logits, target, mask = case()
    assert torch.isfinite(affinity_loss(logits, target, torch.zeros_like(mask)))
