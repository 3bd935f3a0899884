"""Write the final segments, and fragments, of one chunk, from the provisional labels of every leaf that it meets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

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
        rules: for dust.
        provisional, fragments, segmentation: layers to read, and to write; fragments '' where there are none.
    """

    kind: ClassVar[str] = "relabel"

    leaves: Tree
    rules: Rules
    provisional: str
    fragments: str
    segmentation: str

    def execute(self, context: Context) -> None:
        """Look up every label of the core and write each layer."""
        out = {name: np.zeros(self.core.shape_ZYX, np.uint64) for name in (self.fragments, self.segmentation) if name}
        grid, labels = self.leaves.leaves, context.layer(self.provisional)
        for index in grid.indices_meeting(self.core):
            part = grid.core(index).clipped(self.core)
            tables = dict(zip((self.fragments, self.segmentation), self._tables(context, index), strict=True))
            with context.record.phase("read"):
                labels_ZYX = labels.read_ZYX(part)
            with context.record.phase("apply"):
                for name, ids_ZYX in out.items():
                    ids_ZYX[part.slices_ZYX(self.core.min)] = apply_table(labels_ZYX, tables[name])
        with context.record.phase("write"):
            for name, ids_ZYX in out.items():
                context.layer(name).write(self.core, ids_ZYX)

    def _tables(self, context: Context, index: Vec) -> tuple[np.ndarray, np.ndarray]:
        name = self.leaves.name(0, index)
        down = Down.of(context.get_table(f"tables/down/{name}"))
        forest = Forest.of(context.get_table(f"tables/forest/{name}"))
        return lookup_tables(resolve(down, forest, self.rules.dust_vx)[0])
