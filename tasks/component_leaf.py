"""A leaf of the merge tree for connected components: pieces of one chunk, and what its neighbours must see of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from emseg.tasks.arrays.borders import packed
from emseg.tasks.arrays.component_tree import component_leaf
from emseg.tasks.arrays.components import above
from emseg.tasks.arrays.sides import SIDES
from emseg.tasks.base import Task
from emseg.tasks.context import Context
from emseg.tasks.volume.tree import Tree


@dataclass(frozen=True)
class ComponentLeaf(Task):
    """Labels of a core -> provisional labels, borders, exports, forest.

    Attributes:
        leaves: the tree that this is a leaf of.
        source: label layer, or an image if `above` is given.
        provisional: layer of uint32 labels 1..n of each leaf.
        connectivity: 6, 18 or 26.
        above: voxels above this value are foreground; None: the layer holds labels.
        dust_vx: settled components of at least so many voxels are counted in the receipt.
    """

    kind: ClassVar[str] = "component_leaf"

    leaves: Tree
    source: str
    provisional: str
    connectivity: Literal[6, 18, 26]
    above: float | None = None
    dust_vx: int = 0

    def execute(self, context: Context) -> None:
        """Read labels, make the leaf, write it."""
        name = self.leaves.name(0, self.leaves.index(0, self.core))
        with context.record.phase("read"):
            values_ZYX = context.layer(self.source).read_ZYX(self.core)
        with context.record.phase("leaf"):
            if self.above is not None:
                values_ZYX = above(values_ZYX, self.above)
            result = component_leaf(values_ZYX, self.core, self.leaves.bbox, self.connectivity)
        with context.record.phase("write"):
            context.layer(self.provisional).write(self.core, result.labels_ZYX)
            faces = {side: border for side, border in result.borders.items() if side in SIDES}
            for side, border in faces.items():
                context.put_table(f"tables/faces/{name}/{side}", border.columns())
            rim = {step: border for step, border in result.borders.items() if step not in SIDES}
            if rim:
                context.put_table(f"tables/rims/{name}", packed(rim))
            context.put_table(f"tables/forest/{name}", result.forest.columns())
            context.put_table(f"tables/up/{name}", result.up.columns())
        kept = np.count_nonzero(result.forest.settled_voxels >= self.dust_vx)
        context.record.figures.update(pieces=len(result.forest.cluster), components=int(kept))
