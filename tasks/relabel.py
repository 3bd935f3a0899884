"""Write the final segments, and fragments, of one chunk, from the provisional labels of every leaf that it meets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from emseg.tasks.arrays.cut import cut
from emseg.tasks.arrays.forest import Down, Forest
from emseg.tasks.arrays.relabel import apply_table, lookup_tables
from emseg.tasks.arrays.resolve import resolve
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.base import Task
from emseg.tasks.context import Context
from emseg.tasks.volume.bbox import Vec
from emseg.tasks.volume.tree import Tree


@dataclass(frozen=True)
class Relabel(Task):
    """Provisional labels and the leaves' final ids -> fragments and segmentation, uint64.

    Attributes:
        leaves: the tree.
        rules: for dust; their threshold may be above the tree's own.
        provisional, fragments, segmentation: layers to read, and to write; fragments ''
            where there are none, or none again.
    """

    kind: ClassVar[str] = "relabel"

    leaves: Tree
    rules: Rules
    provisional: str
    fragments: str
    segmentation: str

    def execute(self, context: Context) -> None:
        """Look up every label of the core and write each layer."""
        written = [name for name in (self.fragments, self.segmentation) if name]
        out_CZYX = np.zeros((len(written), *self.core.shape_ZYX), np.uint64)
        grid, labels = self.leaves.leaves, context.layer(self.provisional)
        for index in grid.indices_meeting(self.core):
            part = grid.core(index).clipped(self.core)
            tables = self._tables(context, index)
            with context.record.phase("read"):
                labels_ZYX = labels.read_ZYX(part)
            at = part.slices_ZYX(self.core.min)
            with context.record.phase("apply"):
                for out_ZYX, table in zip(out_CZYX, tables[-len(written) :], strict=True):
                    out_ZYX[at] = apply_table(labels_ZYX, table)
        with context.record.phase("write"):
            for name, out_ZYX in zip(written, out_CZYX, strict=True):
                context.layer(name).write(self.core, out_ZYX)

    def _tables(self, context: Context, index: Vec) -> tuple[np.ndarray, np.ndarray]:
        name = self.leaves.name(0, index)
        down = Down.of(context.get_table(f"tables/down/{name}"))
        forest = Forest.of(context.tree_table(f"tables/forest/{name}"))
        return lookup_tables(resolve(down, cut(forest, self.rules.w_mean), self.rules.dust_vx)[0])
