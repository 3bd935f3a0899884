"""Networks that this process has loaded: a denoiser and an affinity network, from the run's copies, by sha256."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from emseg.models.checkpoint import load
from emseg.models.held_memory import held_memory
from emseg.models.predictor import Predictor, scaled
from emseg.models.spec import ModelSpec
from emseg.tasks.context import Context
from emseg.tasks.volume.errors import CorruptChunkError
from emseg.tasks.volume.objects import sha256

MODEL_BYTES = 4 << 30
KEPT = 2  # models that a process holds at once
__all__ = ["held_memory", "network", "scaled"]
_loaded: dict[tuple[str, str, str, int], tuple[ModelSpec, Predictor]] = {}


def network(
    context: Context, key: str, digest: str, precision: str, batch: int, threads: int
) -> tuple[ModelSpec, Predictor]:
    """Spec and network of the model that the run keeps at `key`, loaded once a process.

    Raises:
        CorruptChunkError: the run's copy is missing or altered.
    """
    torch.set_num_threads(threads)
    at = (digest, context.device, precision, batch)
    if at not in _loaded:
        content = context.get_object(key, MODEL_BYTES)
        if sha256(content) != digest:
            raise CorruptChunkError(f"{context.run.where(key)} was altered; plan again to restore it")
        with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
            file.write(content)
            file.flush()
            spec, net = load(Path(file.name))
        while len(_loaded) >= KEPT:
            _loaded.pop(next(iter(_loaded)))
        _loaded[at] = spec, Predictor(net, context.device, precision, batch)
    context.record.read(key, digest)
    return _loaded[at]
