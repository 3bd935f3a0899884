"""The one table of task kinds: what a message may name."""

from __future__ import annotations

from collections.abc import Mapping

from emseg.tasks.base import Task
from emseg.tasks.downsample import Downsample

KINDS: Mapping[str, type[Task]] = {task.kind: task for task in (Downsample,)}
