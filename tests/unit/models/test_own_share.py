"""The share of a voxel's own value: the best linear mix, and none where the loss is all noise."""

import numpy as np
import pytest

from emseg.models.own_share import own_share


def test_an_own_share_is_the_best_linear_mix():
    """An estimate with error 15 beside a value with noise 20: no other share comes nearer to the truth."""
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 50, 40_000)
    estimate, noisy = truth + rng.normal(0, 15, truth.size), truth + rng.normal(0, 20, truth.size)
    share = own_share(float(((estimate - noisy) ** 2).mean()), 20.0**2)

    def error(given):
        return float((((1 - given) * estimate + given * noisy - truth) ** 2).mean())

    assert share == pytest.approx(225 / 625, abs=0.02)
    assert error(share) <= min(error(w / 20) for w in range(20)) * 1.001


def test_no_share_where_the_loss_is_all_noise():
    """A loss at or below the noise says that the network makes no error of its own."""
    assert own_share(400.0, 400.0) == own_share(380.0, 400.0) == own_share(0.0, 0.0) == 0.0
    assert own_share(400.0, 0.0) == own_share(400.0, 1e-9) == 0.9999
