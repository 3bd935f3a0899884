"""Compare one chunk of instances with those below it: which pairs may join, and which are in conflict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from emseg.tasks.arrays.instances import Slab
from emseg.tasks.arrays.match import Conflicts, match
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.base import Task
from emseg.tasks.context import Context
from emseg.tasks.volume.bbox import vec
from emseg.tasks.volume.tree import Tree


@dataclass(frozen=True)
class Match(Task):
    """Slabs of a leaf and of its neighbours below -> faces for the tree on both sides, and conflicts.

    Attributes:
        leaves: the tree.
        rules: its threshold is that of the score.
        least_vx: overlaps of fewer voxels are no evidence.
    """

    kind: ClassVar[str] = "match"

    leaves: Tree
    rules: Rules
    least_vx: int

    def execute(self, context: Context) -> None:
        """Read the slabs, match axis by axis, write."""
        index = self.leaves.index(0, self.core)
        name = self.leaves.name(0, index)
        found, joins = [Conflicts.empty()], 0
        for axis in range(3):
            if index[axis] == 0:
                continue
            below = self.leaves.name(0, vec([i - (a == axis) for a, i in enumerate(index)]))
            letter = "xyz"[axis]
            slabs = _slab(context, f"{below}/{letter}+"), _slab(context, f"{name}/{letter}-")
            seam = self.leaves.leaves.seam(index, axis)
            result = match(*slabs, seam, axis, self.least_vx, self.rules.w_mean)
            context.put_table(f"tables/faces/{below}/{letter}+", result.lower.columns())
            context.put_table(f"tables/faces/{name}/{letter}-", result.upper.columns())
            found.append(result.conflicts)
            joins += result.upper.labels.size
        conflicts = {n: np.concatenate([c.columns()[n] for c in found]) for n in found[0].columns()}
        context.put_table(f"tables/conflicts/{name}", conflicts)
        context.record.figures.update(joins=joins, conflicts=len(conflicts["axis"]))


def _slab(context: Context, name: str) -> Slab:
    return Slab.of(context.get_table(f"tables/slabs/{name}"))
