"""Whether a training starts or goes on: its last checkpoint decides."""

from __future__ import annotations

from pathlib import Path

from emseg.tasks.volume.errors import ConfigError


def last_checkpoint(out: str, resume: bool) -> Path:
    """Where the last checkpoint of a training lies.

    Raises:
        ConfigError: there is none to go on from, or one that a new training would overwrite.
    """
    last = Path(out) / "last.ckpt"
    if resume and not last.is_file():
        raise ConfigError(f"--resume: {last} does not exist; train without it first")
    if not resume and last.is_file():
        raise ConfigError(f"{last} exists; go on with --resume, or choose another `out`")
    return last
