"""Count how a segmentation and a truth overlap in one chunk: a sparse table that adds up over chunks exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from emseg.tasks.arrays.contingency import contingency
from emseg.tasks.base import Task, table_key
from emseg.tasks.context import Context

__all__ = ["Score", "table_key"]


@dataclass(frozen=True)
class Score(Task):
    """Contingency of `segmentation` and `truth` over a core that lies in both.

    Attributes:
        segmentation, truth: label layers in the same voxel coordinates.
    """

    kind: ClassVar[str] = "score"

    segmentation: str
    truth: str

    def execute(self, context: Context) -> None:
        """Read both, count, write."""
        seg_ZYX = context.layer(self.segmentation).read_ZYX(self.core)
        truth_ZYX = context.layer(self.truth).read_ZYX(self.core)
        table = contingency(seg_ZYX, truth_ZYX)
        context.put_table(table_key(self.key), {"seg": table.seg, "gt": table.gt, "count": table.count})
