"""From the tree to the rounds above it: a top node tells the partitions what it hands up, and what it meets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from emseg.tasks.arrays.entry import across, entered
from emseg.tasks.arrays.forest import Up
from emseg.tasks.arrays.mail import Mail, gathered, posted
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.base import Task
from emseg.tasks.context import Context
from emseg.tasks.tables import face_pair, up_of
from emseg.tasks.volume.bbox import Vec
from emseg.tasks.volume.grid import key_of
from emseg.tasks.volume.tree import Tree


@dataclass(frozen=True)
class Enter(Task):
    """Exports of a node and of those that it meets on its high sides, with the faces between -> mail for partitions.

    Writes `tables/rounds/enter/<node>/<p>` for every partition p, columns as in `tasks/arrays/mail.py`.

    Attributes:
        leaves: the tree.
        rules: thresholds and sizes, as integers.
        level: of the node: the last level of the tree.
        partitions: how many there are.
    """

    kind: ClassVar[str] = "enter"

    leaves: Tree
    rules: Rules
    level: int
    partitions: int

    def execute(self, context: Context) -> None:
        """Read the node and, one at a time, its upper neighbours; write a letter a partition."""
        index = self.leaves.index(self.level, self.core)
        with context.record.phase("read"):
            up = up_of(context, self.leaves, self.level, index)
        with context.record.phase("enter"):
            number = list(self.leaves.nodes(self.level).indices_meeting(self.leaves.bbox)).index(index)
            met = [self._met(context, index, up, axis) for axis in range(3)]
            letter = gathered([entered(number, up, self.rules), *(m for m in met if m is not None)])
        with context.record.phase("write"):
            for p, mine in enumerate(posted(letter, self.partitions)):
                context.put_table(f"tables/rounds/enter/{key_of(index)}/{p}", mine.columns())
        context.record.figures.update(clusters=len(letter.clusters.at), s_rows=len(up.s_u), a_rows=len(up.a_u))

    def _met(self, context: Context, index: Vec, lower: Up, axis: int) -> Mail | None:
        """What the node and the one above it along an axis bring; None at the end of the box."""
        above: Vec = (index[0] + (axis == 0), index[1] + (axis == 1), index[2] + (axis == 2))
        if above[axis] >= self.leaves.nodes(self.level).shape[axis]:
            return None
        upper = up_of(context, self.leaves, self.level, above)
        pairs = (
            face_pair(context, self.leaves, low, high, axis) for low, high in self.leaves.faces(self.level, above, axis)
        )
        return across((index, lower), (above, upper), pairs, self.rules)
