"""How far a denoiser looks: the arithmetic equals what the network does."""

import pytest
import torch

from emseg.models.denoise_unet import DenoiseShape, DenoiseUNet
from emseg.models.reach import AxisShape

SHAPES = [
    DenoiseShape(dims=dims, depth=depth, features=1, n2v2=n2v2)
    for dims, depth, n2v2 in [(2, 1, False), (2, 1, True), (2, 2, False), (2, 2, True), (3, 2, False), (2, 3, False)]
]


def positive(shape):
    """A network whose output grows with every input that it depends on."""
    net = DenoiseUNet(shape, 1).double().eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(parameter.abs() + 0.01)
    return net


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_network_depends_on_exactly_its_reach(shape):
    """Voxel by voxel along x: the farthest input that changes an output is as far as the arithmetic says."""
    net, axis = positive(shape), shape.axes[0]
    middle = -(-(axis.reach + 2) // axis.multiple) * axis.multiple
    length, side_z = 2 * middle + axis.multiple, shape.multiple_xyz[2]
    image = torch.rand(1, 1, side_z, axis.multiple, length, dtype=torch.float64)
    with torch.inference_mode():
        plain = net(image)[0, 0, 0, 0]
        farthest = 0
        for place in range(length):
            changed = image.clone()
            changed[..., place] += 10
            moved = (net(changed)[0, 0, 0, 0] != plain)[middle : middle + axis.multiple].nonzero()[:, 0] + middle
            if len(moved):
                farthest = max(farthest, int((moved - place).abs().max()))
    assert farthest == axis.reach


@pytest.mark.parametrize(
    ("axis", "reach", "halo"),
    [
        (AxisShape(2, 1, 2, False, True), 23, 24),
        (AxisShape(2, 1, 2, True, False), 26, 28),
        (AxisShape(3, 1, 2, False, True), 51, 48),
        (AxisShape(2, 1, 1, False, True), 10, 10),
        (AxisShape(2, 0, 1, False, True), 0, 0),
    ],
)
def test_reach_and_halo_of_known_networks(axis, reach, halo):
    """A halo is whole cells, and may be below the reach; a 2-D network needs no neighbouring sections."""
    assert (axis.reach, axis.halo) == (reach, halo)
