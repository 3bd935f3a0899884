"""An inner node of the merge tree for connected components: joins pieces across the borders between its children."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np

from emseg.tasks.arrays.borders import AXES, Border, Meeting, opposite, step_name, unpacked
from emseg.tasks.arrays.component_tree import ComponentUp, component_node
from emseg.tasks.arrays.sides import SIDES
from emseg.tasks.base import Task
from emseg.tasks.context import Context
from emseg.tasks.volume.bbox import Vec
from emseg.tasks.volume.table import Table
from emseg.tasks.volume.tree import Tree

RIMS_KEPT = 4096  # lines and corners of leaves: small, and read by up to 16 meetings each


@dataclass(frozen=True)
class ComponentMerge(Task):
    """Exports of a node's children and the leaf borders between them -> exports and forest of the node.

    Attributes:
        leaves: the tree.
        level: of this node; leaves are 0.
        connectivity: 6, 18 or 26.
        dust_vx: settled components of at least so many voxels are counted in the receipt.
    """

    kind: ClassVar[str] = "component_merge"

    leaves: Tree
    level: int
    connectivity: Literal[6, 18, 26]
    dust_vx: int = 0

    def execute(self, context: Context) -> None:
        """Read the children's exports, stream the borders between them, write."""
        index = self.leaves.index(self.level, self.core)
        name = self.leaves.name(self.level, index)
        with context.record.phase("read"):
            children = [(child, self._up(context, child)) for child in self.leaves.children(self.level, index)]
        with context.record.phase("node"):
            result = component_node(children, self._meetings(context, index), self.connectivity)
        with context.record.phase("write"):
            context.put_table(f"tables/forest/{name}", result.forest.columns())
            context.put_table(f"tables/up/{name}", result.up.columns())
        kept = np.count_nonzero(result.forest.settled_voxels >= self.dust_vx)
        context.record.figures.update(pieces=len(result.up.piece), components=int(kept))

    def _up(self, context: Context, child: Vec) -> ComponentUp:
        return ComponentUp.of(context.get_table(f"tables/up/{self.leaves.name(self.level - 1, child)}"))

    def _meetings(self, context: Context, index: Vec) -> Iterator[Meeting]:
        @lru_cache(maxsize=RIMS_KEPT)
        def rim(leaf: str) -> Table:
            return context.get_table(f"tables/rims/{leaf}")

        for lower, upper, step in self.leaves.meetings(self.level, index, AXES[self.connectivity]):
            here, there = self.leaves.name(0, lower), self.leaves.name(0, upper)
            yield Meeting(
                _border(context, rim, here, step),
                _border(context, rim, there, opposite(step)),
                step,
                f"leaves {here} and {there}",
            )


def _border(context: Context, rim: Callable[[str], Table], leaf: str, step: Vec) -> Border:
    name = step_name(step)
    if name in SIDES:
        return Border.of(context.get_table(f"tables/faces/{leaf}/{name}"))
    return unpacked(rim(leaf), name)
