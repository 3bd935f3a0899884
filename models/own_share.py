"""What a voxel's own noisy value tells beside a blind-spot network, which never looked at it."""

from __future__ import annotations

MOST = 0.9999  # of an image without noise


def own_share(loss: float, noise: float) -> float:
    """Share in [0, 1) that a voxel's own value should have in its result.

    The loss at blind spots, against noisy values, is the network's squared error plus the noise's variance. The best
    linear mix weighs the own value by the network's part of the sum: 1 − noise / loss. It is the posterior mean of two
    Gaussians (Laine et al. 2019, arXiv:1901.10277; Krull et al. 2020, arXiv:1906.00651).

    Args:
        loss: mean squared error at blind spots of patches that were not trained on.
        noise: variance of the noise, in the same units. It must be independent of the noise of all voxels that the
            network looks at: from voxel to voxel, or beyond the span that structN2V hides.
    """
    return round(min(max(0.0, 1 - noise / loss), MOST), 4) if loss > 0 else 0.0
