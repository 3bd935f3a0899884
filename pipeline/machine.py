"""What this machine has for workers: cores, memory, GPUs; in a container, what the container may use."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def memory_bytes() -> int:
    """Memory of the machine, or of the container if that is less."""
    return min([int(psutil.virtual_memory().total), *filter(None, map(_limit, CGROUP_LIMITS))])


def gpus() -> list[str]:
    """torch names of the CUDA devices that this process sees."""
    import torch

    return [f"cuda:{i}" for i in range(torch.cuda.device_count())]


def fitting(peak_bytes: int) -> int:
    """How many processes of such a peak this machine holds: at most one a core, at least one."""
    return max(1, min(cores(), memory_bytes() // max(1, peak_bytes)))


def _limit(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
