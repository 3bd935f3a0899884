"""Count the grey values of one chunk, section by section."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from emseg.tasks.arrays.histogram import section_histograms
from emseg.tasks.base import Task, table_key
from emseg.tasks.context import Context


@dataclass(frozen=True)
class Stats(Task):
    """Histograms of a core.

    Attributes:
        source: image layer, uint8 or uint16.
    """

    kind: ClassVar[str] = "stats"

    source: str

    def execute(self, context: Context) -> None:
        """Read, count, write."""
        counts = section_histograms(context.layer(self.source).read_ZYX(self.core))
        context.put_table(table_key(self.key), {"counts": counts})
