"""Running a network on patches."""

import numpy as np
import pytest
import torch

from emseg.models.affinity_unet import UNetShape
from emseg.models.architectures import build
from emseg.models.predictor import Predictor, scaled


def patches(count, seed=0, size=(16, 16, 16)):
    """Random network input."""
    return np.random.default_rng(seed).standard_normal((count, 1, *size)).astype(np.float32)


@pytest.fixture
def net(spec):
    """A network with running statistics of its own."""
    torch.manual_seed(0)
    made = build(spec).train()
    made(torch.from_numpy(patches(2)))
    return made


def test_a_patch_does_not_depend_on_its_place_or_company(net):
    """Alone, first, last, beside others: the same bits, because the batch is always full."""
    predictor, given = Predictor(net, batch=3), patches(3)
    whole = predictor.predict(given)
    assert whole.shape == (3, 4, 16, 16, 16)
    assert whole.dtype == np.float32
    np.testing.assert_array_equal(predictor.predict(given[::-1].copy())[::-1], whole)
    for place in range(3):
        np.testing.assert_array_equal(predictor.predict(given[place : place + 1])[0], whole[place])


def test_prediction_leaves_the_running_statistics(net):
    """Predicting is not training: the network stays as it is."""
    before = {k: t.clone() for k, t in net.state_dict().items()}
    Predictor(net).predict(patches(2, 5))
    assert all(torch.equal(t, before[k]) for k, t in net.state_dict().items())


def test_bf16_on_a_cpu_is_refused(net):
    """It would be slower than fp32 there, and is not offered."""
    with pytest.raises(ValueError, match="bf16"):
        Predictor(net, precision="bf16")


def test_grey_levels_are_scaled_by_the_model_s_constants(spec):
    """0 becomes −1, 255 becomes 1, in float32."""
    out = scaled(spec, np.array([0, 255], np.uint8))
    np.testing.assert_array_equal(out, np.array([-1, 1], np.float32))
    assert out.dtype == np.float32


def test_flat_levels_keep_sections_apart(spec_with):
    """A network flat at its first level needs no even number of sections, and no kernel of that level spans two."""
    shape = {"kind": "residual_unet", "widths": [4, 6], "flat": [True, False], "plain": [False, True], "entry": 3}
    net = build(spec_with(architecture=shape)).eval()
    assert net(torch.zeros(1, 1, 5, 8, 8)).shape == (1, 4, 5, 8, 8)
    assert UNetShape.parsed(shape).multiple_xyz == (2, 2, 1)
    assert {tuple(c.kernel_size) for c in net.down[0].modules() if isinstance(c, torch.nn.Conv3d)} == {(1, 3, 3)}
