"""The denoising network: what it takes, and what N2V2 changes."""

import itertools

import numpy as np
import pytest
import torch

from emseg.models.architectures import build
from emseg.models.denoise_unet import DenoiseShape, blur_pool
from emseg.models.spec import ModelSpec


def denoiser(dims=2, depth=2, tile=8, **changes):
    """A spec of a denoiser of a few weights."""
    architecture = {"kind": "denoise_unet", "dims": dims, "depth": depth, "features": 2, **changes.pop("more", {})}
    halo = DenoiseShape.parsed(architecture).halo_xyz
    stride = (tile, tile, tile if dims == 3 else 2)
    values = {
        "name": "tiny",
        "family": "denoise",
        "architecture": architecture,
        "in_channels": 1,
        "offsets": (),
        "patch_vx": tuple(s + 2 * h for s, h in zip(stride, halo, strict=True)),
        "stride_vx": stride,
        "halo_vx": halo,
        "phase_vx": (0, 0, 0),
        "voxel_nm": (10, 10, 10),
        "normalisation": {"scale": 1, "mean": 100, "std": 40},
        "coding": {"kind": "grey"},
        "activation": "identity",
    }
    return ModelSpec(**{**values, **changes})


@pytest.mark.parametrize(
    ("dims", "depth", "more"),
    itertools.product((2, 3), (1, 2), ({}, {"n2v2": True}, {"pool_z": False}, {"residual": True})),
)
def test_the_output_has_the_shape_of_the_input(dims, depth, more):
    """In 2-D and 3-D, with every option; and the spec's JSON builds it again."""
    spec = ModelSpec.from_json(denoiser(dims, depth, more=more).to_json())
    net = build(spec).eval()
    image = torch.zeros(2, 1, 4, 8, 12)
    assert net(image).shape == image.shape


def test_a_2d_network_sees_each_section_alone():
    """Changing one section changes no other."""
    net = build(denoiser(dims=2)).eval()
    image = torch.rand(1, 1, 3, 8, 8)
    changed = image.clone()
    changed[:, :, 1] += 1
    moved = (net(changed) != net(image)).flatten(3).any(3)[0, 0]
    assert moved.tolist() == [False, True, False]


def test_blur_pool_is_max_then_blur_then_every_second():
    """Against plain Python along x: max over (i, i+1), weights 1 2 1 over 4, at every second place."""
    x = np.random.default_rng(0).random(12)
    padded = np.concatenate([x[:1], x, x[-1:]])
    most = np.maximum(padded[:-1], padded[1:])
    wanted = [(most[j] + 2 * most[j + 1] + most[j + 2]) / 4 for j in range(0, 12, 2)]
    image = torch.from_numpy(np.broadcast_to(x, (1, 1, 4, 12)).copy())
    found = blur_pool(image, (2, 2))
    assert found.shape == (1, 1, 2, 6)
    np.testing.assert_allclose(found[0, 0, 0], wanted)


def test_n2v2_has_no_skip_at_the_top():
    """Its finest decoder takes the up-sampled features alone, so it has fewer weights."""
    plain, n2v2 = build(denoiser()), build(denoiser(more={"n2v2": True}))
    assert plain.up[0][0].in_channels == 6
    assert n2v2.up[0][0].in_channels == 4


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"halo_vx": (20, 24, 0)}, "too short"),
        ({"stride_vx": (6, 8, 2)}, "stride"),
        ({"patch_vx": (58, 56, 2)}, "patch"),
    ],
)
def test_windows_that_would_show_the_lattice_are_refused(changes, words):
    """A halo short by 4, a step or a side that is no multiple of 2^depth: refused with what is needed."""
    with pytest.raises(ValueError, match=words):
        build(denoiser(**changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"in_channels": 2}, "one model per channel"),
        ({"offsets": [[-1, 0, 0]]}, "no offsets"),
        ({"coding": {"kind": "linear"}}, "grey"),
        ({"activation": "sigmoid"}, "identity"),
    ],
)
def test_what_no_denoiser_can_be_is_refused(changes, words):
    """Each in one line."""
    with pytest.raises(ValueError, match=words):
        denoiser(**changes)


@pytest.mark.parametrize(
    ("more", "words"),
    [({"dims": 4}, "dims"), ({"depth": 0}, "depth"), ({"n2v2": 1}, "n2v2"), ({"strange": 1}, "strange")],
)
def test_parameters_out_of_range_are_refused(more, words):
    """By name."""
    with pytest.raises(ValueError, match=words):
        DenoiseShape.parsed({"kind": "denoise_unet", **more})
