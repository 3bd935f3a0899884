"""What all network tasks share: where a run keeps a model, where its windows lie, and which device may run it."""

from __future__ import annotations

from emseg.models.spec import ModelSpec
from emseg.tasks.arrays.lattice import Lattice
from emseg.tasks.context import Context
from emseg.tasks.volume.bbox import vec
from emseg.tasks.volume.errors import ConfigError


def model_key(digest: str) -> str:
    """Where a run keeps a model."""
    return f"models/{digest}.safetensors"


def lattice_of(spec: ModelSpec) -> Lattice:
    """The lattice of a model's windows."""
    return Lattice(vec(spec.patch_vx), vec(spec.stride_vx), vec(spec.halo_vx), vec(spec.phase_vx))


def require_device(key: str, device: str, context: Context) -> None:
    """Refuse another kind of device than the plan's.

    Raises:
        ConfigError: the worker has another.
    """
    if context.device.split(":")[0] != device:
        raise ConfigError(
            f"task {key} is planned for {device} but this worker has {context.device}: their last bits "
            "differ; start workers with the planned device, or plan for this one"
        )
