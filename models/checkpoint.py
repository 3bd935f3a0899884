"""The only reader and writer of weights: safetensors, with the ModelSpec as JSON in the header. Never pickle."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from emseg.models.architectures import build
from emseg.models.spec import ModelSpec

HEADER_BYTES = 1 << 20
SPEC_KEY = "emseg"


def shipped(family: str = "") -> list[str]:
    """Names of the models that come with emseg, of one family or of all."""
    files = [p for p in _weights() if p.name.endswith(".safetensors")]
    wanted = [p for p in files if not family or read_spec(Path(str(p))).family == family]
    return sorted(p.name.removesuffix(".safetensors") for p in wanted)


def resolve(name: str, family: str = "") -> Path:
    """File of a shipped model's name, or of a path; `family`: of the models that a refusal offers.

    Raises:
        ValueError: neither.
    """
    for entry in _weights():
        if entry.name == f"{name}.safetensors":
            return Path(str(entry))
    path = Path(name)
    if path.is_file():
        return path
    raise ValueError(f"there is no model {name!r}: give a path, or one of {', '.join(shipped(family))}")


def _weights() -> list[Any]:
    return list(files("emseg.models.weights").iterdir())


def save(path: Path, spec: ModelSpec, net: nn.Module) -> None:
    """Write weights and spec."""
    state = {name: tensor.contiguous() for name, tensor in net.state_dict().items()}
    save_file(state, path, metadata={SPEC_KEY: spec.to_json()})


def read_spec(path: Path) -> ModelSpec:
    """The spec of a model file.

    Raises:
        ValueError: not a model file, or a corrupt one.
    """
    return ModelSpec.from_json(_header(path))


def load(path: Path) -> tuple[ModelSpec, nn.Module]:
    """Spec and network, in eval mode.

    Raises:
        ValueError: a corrupt file, an unknown architecture, or tensors that it does not have.
    """
    spec = read_spec(path)
    net = build(spec)
    wanted = net.state_dict()
    with safe_open(path, framework="pt") as file:
        found = {name: file.get_tensor(name) for name in file.keys()}
    if unlike := sorted(set(wanted) ^ set(found)):
        raise ValueError(f"{path}: tensors {unlike[:3]} do not fit architecture {spec.architecture['kind']!r}")
    for name, tensor in found.items():
        if tensor.shape != wanted[name].shape:
            raise ValueError(f"{path}: {name} has shape {list(tensor.shape)}, expected {list(wanted[name].shape)}")
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ValueError(f"{path}: {name} is not finite; the training went wrong, or the file is corrupt")
    net.load_state_dict({n: t.to(wanted[n].dtype) for n, t in found.items()})
    return spec, net.eval()


def _header(path: Path) -> str:
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
    if size > HEADER_BYTES:
        raise ValueError(f"{path}: is no model file (its header would be {size} bytes)")
    try:
        with safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: is corrupt or no safetensors file ({error}); fetch it again") from None
    if SPEC_KEY not in metadata:
        raise ValueError(f"{path}: has no spec; it was not written by emseg")
    return str(metadata[SPEC_KEY])


def deterministic() -> None:
    """Ask torch for kernels that give the same bits every time."""
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
