"""A lab's own network comes in through an installed package's entry point."""

import importlib

import pytest
import torch

from emseg.models.architectures import build
from emseg.models.checkpoint import load, save

NETWORK = """
from torch import nn

def make(architecture, in_channels, out_channels):
    return nn.Conv3d(in_channels, out_channels, architecture["kernel"], padding="same")
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """An installed package `lab` that declares the architecture `lab_net`."""
    (tmp_path / "lab.py").write_text(NETWORK)
    about = tmp_path / "lab-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: lab\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[emseg.models]\nlab_net = lab:make\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()


@pytest.mark.usefixtures("installed")
def test_a_lab_s_network_is_built_saved_and_loaded(tmp_path, spec_with):
    """The package's factory gets the spec's architecture and channels; its weights travel like ours."""
    spec = spec_with(architecture={"kind": "lab_net", "kernel": 3})
    net = build(spec)
    assert net.weight.shape == (4, 1, 3, 3, 3)
    save(tmp_path / "lab.safetensors", spec, net)
    found, again = load(tmp_path / "lab.safetensors")
    assert found == spec
    assert torch.equal(again.weight, net.weight)


def test_without_the_package_the_kind_is_refused(spec_with):
    """The message names the kind and what is known."""
    with pytest.raises(ValueError, match=r"'lab_net'.*residual_unet"):
        build(spec_with(architecture={"kind": "lab_net", "kernel": 3}))
