"""Weights files: what is written is read, and nothing else is."""

import json
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file

from emseg.models.architectures import build
from emseg.models.checkpoint import load, read_spec, resolve, save, shipped


@pytest.fixture
def file(tmp_path, spec):
    """A small model's file."""
    torch.manual_seed(0)
    path = tmp_path / "small.safetensors"
    save(path, spec, build(spec))
    return path


def rewritten(path, spec, tensors):
    """The same header with other tensors."""
    save_file(tensors, path, metadata={"emseg": spec.to_json()})
    return path


def test_round_trip(file, spec):
    """Spec and weights come back; the network is in eval mode."""
    found, net = load(file)
    assert found == read_spec(file) == spec
    assert not net.training
    for name, tensor in load_file(file).items():
        assert torch.equal(net.state_dict()[name], tensor)


def test_half_precision_weights_are_read_as_floats(file, spec):
    """Weights stored as bfloat16 become float32."""
    halves = {k: t.bfloat16() if t.is_floating_point() else t for k, t in load_file(file).items()}
    _, net = load(rewritten(file, spec, halves))
    assert {p.dtype for p in net.parameters()} == {torch.float32}


def test_tensors_that_the_architecture_lacks_or_needs_are_refused(file, spec):
    """An extra tensor, a missing one, one of another shape."""
    tensors = load_file(file)
    with pytest.raises(ValueError, match="extra"):
        load(rewritten(file, spec, {**tensors, "extra": torch.zeros(1)}))
    with pytest.raises(ValueError, match=r"head\.bias"):
        load(rewritten(file, spec, {k: t for k, t in tensors.items() if k != "head.bias"}))
    with pytest.raises(ValueError, match="has shape"):
        load(rewritten(file, spec, {**tensors, "head.bias": torch.zeros(7)}))


def test_weights_that_are_no_numbers_are_refused(file, spec):
    """NaN and infinity in the weights."""
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="not finite"):
            load(rewritten(file, spec, {**load_file(file), "head.bias": torch.full((4,), value)}))


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_torn_file_is_refused_in_one_line(file, keep):
    """Cut anywhere: empty, in the length, in the header, in the last tensor."""
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ValueError) as caught:
        load(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_pickle_is_never_opened(tmp_path):
    """A pickle that would write a file is refused and writes none."""
    sign = tmp_path / "opened"

    class Trap:
        def __reduce__(self):
            return (open, (str(sign), "w"))

    for name in ("model.safetensors", "model.pt"):
        (tmp_path / name).write_bytes(pickle.dumps(Trap()))
        with pytest.raises(ValueError):
            load(tmp_path / name)
    assert not sign.exists()


def test_a_huge_header_and_a_file_without_spec_are_refused(tmp_path):
    """The header may have 1 MiB; without a spec no network is built."""
    big = tmp_path / "big.safetensors"
    save_file({"a": torch.zeros(1)}, big, metadata={"emseg": "x" * (1 << 20)})
    with pytest.raises(ValueError, match="header"):
        load(big)
    bare = tmp_path / "bare.safetensors"
    save_file({"a": torch.zeros(1)}, bare)
    with pytest.raises(ValueError, match="no spec"):
        load(bare)


@pytest.mark.parametrize(
    "architecture",
    [
        {"kind": "nobody's"},
        {"kind": "residual_unet"},
        {"kind": "residual_unet", "widths": [1 << 30]},
        {"kind": "residual_unet", "widths": [4, 6], "plain": [True]},
        {"kind": "residual_unet", "widths": [4, 6], "colour": "red"},
    ],
)
def test_architectures_that_cannot_be_built_are_refused(spec_with, architecture):
    """An unknown kind, and parameters out of range, before anything is allocated."""
    with pytest.raises(ValueError, match="architecture"):
        build(spec_with(architecture=architecture))


def test_a_patch_that_does_not_halve_evenly_is_refused(spec_with):
    """Each pool halves the patch."""
    with pytest.raises(ValueError, match="multiples"):
        build(spec_with(patch_vx=[17, 16, 16]))


def test_a_name_or_a_path_is_resolved(file):
    """A shipped model by its name, any other by its path; else the shipped names are listed."""
    assert resolve(str(file)) == file
    for name in shipped():
        assert resolve(name).name == f"{name}.safetensors"
    with pytest.raises(ValueError, match=r"one of fib25-nano$"):
        resolve("no-such", "affinity")
    with pytest.raises(ValueError, match="there is no model"):
        resolve("no-such-model")


@pytest.mark.parametrize("name", shipped())
def test_shipped_models_are_small_attributed_and_complete(name):
    """At most 8 MB, with a record of what they were trained and tuned on, by file digest and box."""
    path = resolve(name)
    assert path.stat().st_size <= 8_000_000
    spec, _ = load(path)
    record = spec.training
    assert spec.name == name
    assert record["attribution"]
    assert record["steps"] > 0
    parts = {"train", "tune"} if spec.family == "affinity" else {"train"}  # a denoiser has no thresholds to tune
    assert {item["part"] for item in record["data"]} == parts
    assert all(len(item["sha256"]) == 64 for item in record["data"])
    assert json.dumps(record)
    assert "/" not in "".join(item["name"] for item in record["data"])
