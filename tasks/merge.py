"""An inner node of the merge tree: joins what its children left open, settles what it can, hands the rest up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from emseg.tasks.arrays.faces import FacePair
from emseg.tasks.arrays.node import node
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.base import Task
from emseg.tasks.context import Context
from emseg.tasks.tables import face_pair, up_of
from emseg.tasks.volume.bbox import Vec
from emseg.tasks.volume.tree import Tree


@dataclass(frozen=True)
class Merge(Task):
    """Exports of a node's children and the leaf faces between them -> exports and forest of the node.

    Attributes:
        leaves: the tree.
        rules: thresholds and sizes, as integers.
        level: of this node; leaves are 0.
    """

    kind: ClassVar[str] = "merge"
    version: ClassVar[int] = 2

    leaves: Tree
    rules: Rules
    level: int

    def execute(self, context: Context) -> None:
        """Read the children's exports, stream the faces between them, write."""
        index = self.leaves.index(self.level, self.core)
        name = self.leaves.name(self.level, index)
        with context.record.phase("read"):
            below = self.leaves.children(self.level, index)
            children = [(child, up_of(context, self.leaves, self.level - 1, child)) for child in below]
        with context.record.phase("node"):
            result = node(children, self._pairs(context, index), self.rules)
        with context.record.phase("write"):
            context.put_table(f"tables/forest/{name}", result.forest.columns())
            context.put_table(f"tables/up/{name}", result.up.columns())
        held = sum(column.nbytes for _, up in children for column in up.columns().values())
        context.record.figures.update(
            table_bytes=held, pieces=len(result.up.piece), s_rows=len(result.up.s_u), a_rows=len(result.up.a_u)
        )

    def _pairs(self, context: Context, index: Vec) -> Iterator[FacePair]:
        for lower, upper, axis in self.leaves.pairs(self.level, index):
            yield face_pair(context, self.leaves, lower, upper, axis)
