"""The way down from the rounds to a top node of the tree: its final ids, from all partitions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from emseg.tasks.arrays.forest import Down
from emseg.tasks.arrays.naming import whole_down
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.base import Task
from emseg.tasks.context import Context
from emseg.tasks.volume.grid import key_of
from emseg.tasks.volume.tree import Tree


@dataclass(frozen=True)
class Gather(Task):
    """Final ids of a top node's handles by partition -> the table that a root would have sent down.

    Writes `tables/<down>/L<level>/<node>`, columns as in `forest.Down`.

    Attributes:
        leaves, level: the tree and its last level.
        rules: as for `naming`; they name the result.
        partitions: how many there are.
        down: folder of the tables of final ids.
    """

    kind: ClassVar[str] = "gather"

    leaves: Tree
    rules: Rules
    level: int
    partitions: int
    down: str = "down"

    def execute(self, context: Context) -> None:
        """Read one small table a partition, sort, write."""
        index = self.leaves.index(self.level, self.core)
        parts = [
            Down.of(context.get_table(f"tables/{self.down}/parts/{key_of(index)}/{p}")) for p in range(self.partitions)
        ]
        context.put_table(f"tables/{self.down}/{self.leaves.name(self.level, index)}", whole_down(parts).columns())
