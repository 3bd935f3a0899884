"""The one table of task kinds: what a message may name."""

from __future__ import annotations

from collections.abc import Mapping

from emseg.tasks.base import Task
from emseg.tasks.component_leaf import ComponentLeaf
from emseg.tasks.component_merge import ComponentMerge
from emseg.tasks.conflicts import ConflictCell
from emseg.tasks.denoise import Denoise
from emseg.tasks.downsample import Downsample
from emseg.tasks.enter import Enter
from emseg.tasks.fragment import Fragment
from emseg.tasks.gather import Gather
from emseg.tasks.ingest import Ingest
from emseg.tasks.instances import Instances
from emseg.tasks.match import Match
from emseg.tasks.merge import Merge
from emseg.tasks.naming import NameSegments
from emseg.tasks.phantom import Phantom
from emseg.tasks.predict import Predict
from emseg.tasks.relabel import Relabel
from emseg.tasks.resolve import Resolve
from emseg.tasks.rounds import Round
from emseg.tasks.score import Score
from emseg.tasks.stats import Stats
from emseg.tasks.tally import Tally
from emseg.tasks.verify import Verify

KINDS: Mapping[str, type[Task]] = {
    task.kind: task
    for task in (
        ComponentLeaf,
        ComponentMerge,
        ConflictCell,
        Denoise,
        Downsample,
        Enter,
        Fragment,
        Gather,
        Ingest,
        Instances,
        Match,
        Merge,
        NameSegments,
        Phantom,
        Predict,
        Relabel,
        Resolve,
        Round,
        Score,
        Stats,
        Tally,
        Verify,
    )
}
