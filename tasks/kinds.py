"""The one table of task kinds: what a message may name."""

from __future__ import annotations

from collections.abc import Mapping

from emseg.tasks.base import Task
from emseg.tasks.denoise import Denoise
from emseg.tasks.downsample import Downsample
from emseg.tasks.fragment import Fragment
from emseg.tasks.ingest import Ingest
from emseg.tasks.merge import Merge
from emseg.tasks.phantom import Phantom
from emseg.tasks.predict import Predict
from emseg.tasks.relabel import Relabel
from emseg.tasks.resolve import Resolve
from emseg.tasks.score import Score
from emseg.tasks.stats import Stats

KINDS: Mapping[str, type[Task]] = {
    task.kind: task
    for task in (
        Denoise,
        Downsample,
        Fragment,
        Ingest,
        Merge,
        Phantom,
        Predict,
        Relabel,
        Resolve,
        Score,
        Stats,
    )
}
