"""The way down: a node turns the final ids that came from above into those of its children."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from emseg.tasks.arrays.cut import cut
from emseg.tasks.arrays.forest import Down, Forest
from emseg.tasks.arrays.resolve import resolve
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.base import Task
from emseg.tasks.context import Context
from emseg.tasks.volume.tree import Tree


@dataclass(frozen=True)
class Resolve(Task):
    """Final ids of a node's handles and its forest -> final ids of each child's handles.

    Attributes:
        leaves: the tree.
        rules: for dust, judged by the size of the whole segment; their threshold may be above the tree's own.
        level, levels: of this node, and of the root.
        down: folder of the tables of final ids.
    """

    kind: ClassVar[str] = "resolve"
    version: ClassVar[int] = 2

    leaves: Tree
    rules: Rules
    level: int
    levels: int
    down: str = "down"

    def execute(self, context: Context) -> None:
        """Read from above, resolve, write one table a child."""
        index = self.leaves.index(self.level, self.core)
        name = self.leaves.name(self.level, index)
        root = self.level == self.levels
        down = Down.empty() if root else Down.of(context.get_table(f"tables/{self.down}/{name}"))
        forest = cut(Forest.of(context.tree_table(f"tables/forest/{name}")), self.rules.w_mean)
        children = self.leaves.children(self.level, index)
        for child, table in zip(children, resolve(down, forest, self.rules.dust_vx), strict=True):
            context.put_table(f"tables/{self.down}/{self.leaves.name(self.level - 1, child)}", table.columns())
