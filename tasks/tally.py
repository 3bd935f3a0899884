"""Count how the segments of several thresholds and a truth overlap in one leaf, without writing any of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from emseg.tasks.arrays.contingency import Contingency, contingency, renamed
from emseg.tasks.arrays.cut import cut
from emseg.tasks.arrays.forest import Down, Forest
from emseg.tasks.arrays.relabel import lookup_tables
from emseg.tasks.arrays.resolve import resolve
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.base import Task
from emseg.tasks.context import Context
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.tree import Tree


@dataclass(frozen=True)
class Tally(Task):
    """Provisional labels, a truth and final ids by threshold -> one contingency table a threshold.

    Attributes:
        leaves: the tree, of which this is a leaf.
        rules: of the run; `cuts` are the thresholds, as weights, whose final ids lie in tables/<folder of the cut>.
        provisional, truth: label layers.
        box: where both are; voxels of the leaf outside it are not counted.
    """

    kind: ClassVar[str] = "tally"

    leaves: Tree
    rules: Rules
    cuts: tuple[int, ...]
    provisional: str
    truth: str
    box: BBox

    def execute(self, context: Context) -> None:
        """Count local labels once, then name them by each threshold."""
        table = self._counted(context)
        name = self.leaves.name(0, self.leaves.index(0, self.core))
        forest = Forest.of(context.tree_table(f"tables/forest/{name}"))
        for w_mean in self.cuts:
            down = Down.of(context.get_table(f"tables/{down_folder(w_mean)}/{name}"))
            _, segment = lookup_tables(resolve(down, cut(forest, w_mean), self.rules.dust_vx)[0])
            context.put_table(tally_key(self.key, w_mean), vars(renamed(table, segment)))

    def _counted(self, context: Context) -> Contingency:
        part = self.core.clipped(self.box)
        if part.empty:
            return contingency(*np.zeros((2, 0), np.uint64))
        labels_ZYX = context.layer(self.provisional).read_ZYX(part)
        return contingency(labels_ZYX, context.layer(self.truth).read_ZYX(part))


def down_folder(w_mean: int) -> str:
    """Folder of the final ids of a threshold."""
    return f"down-{w_mean}"


def tally_key(key: str, w_mean: int) -> str:
    """Where the table of a leaf and a threshold lies."""
    return f"tables/{key}/{w_mean}"
