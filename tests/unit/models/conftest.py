"""A small model to test with."""

import pytest

from emseg.models.spec import ModelSpec


def small_spec(**changes):
    """Spec of a network of a few hundred weights."""
    values = {
        "name": "small",
        "family": "affinity",
        "architecture": {"kind": "residual_unet", "widths": [4, 6], "plain": [True, False], "flat": [False] * 2},
        "in_channels": 1,
        "offsets": [[-1, 0, 0], [0, -1, 0], [0, 0, -1], [-3, 0, 0]],
        "patch_vx": [16, 16, 16],
        "stride_vx": [8, 8, 8],
        "halo_vx": [4, 4, 4],
        "phase_vx": [0, 0, 0],
        "voxel_nm": [10, 10, 10],
        "normalisation": {"scale": 255, "mean": 0.5, "std": 0.5},
        "coding": {"kind": "logit", "gain": 16},
        "activation": "sigmoid",
        "training": {"seed": 1},
    }
    return ModelSpec(**{**values, **changes})


@pytest.fixture
def spec():
    """The small spec."""
    return small_spec()


@pytest.fixture
def spec_with():
    """Make a small spec with some values changed."""
    return small_spec
