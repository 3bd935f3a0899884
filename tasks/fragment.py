"""A leaf of the merge tree: watershed fragments of one chunk, their contacts, and what of it is already settled."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from emseg.tasks.arrays.leaf import leaf
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.arrays.sides import excluded_box, weights_box
from emseg.tasks.base import Task
from emseg.tasks.context import Context
from emseg.tasks.exclusion import Exclusion
from emseg.tasks.volume.tree import Tree
from emseg.tasks.weights import AffinityForm


@dataclass(frozen=True)
class Fragment(Task):
    """Affinities of a core and one voxel around it -> provisional labels, faces, exports, forest.

    Attributes:
        leaves: the tree that this is a leaf of.
        rules: thresholds and sizes, as integers.
        affinities: how the affinity layer holds its nearest channels.
        provisional: layer of uint32 labels 1..n of each leaf.
        exclusion: every edge with an excluded end is dropped.
    """

    kind: ClassVar[str] = "fragment"

    leaves: Tree
    rules: Rules
    affinities: AffinityForm
    provisional: str
    exclusion: Exclusion = field(default_factory=Exclusion)

    def execute(self, context: Context) -> None:
        """Read affinities, make the leaf, write it."""
        bbox, name = self.leaves.bbox, self.leaves.name(0, self.leaves.index(0, self.core))
        with context.record.phase("read"):
            excluded_ZYX = self.exclusion.of(context, excluded_box(self.core, bbox))
            weights_CZYX = self.affinities.read(context, weights_box(self.core, bbox))
        with context.record.phase("leaf"):
            result = leaf(weights_CZYX, self.core, bbox, self.rules, excluded_ZYX)
        with context.record.phase("write"):
            context.layer(self.provisional).write(self.core, result.labels_ZYX)
            for side, face in result.faces.items():
                context.put_table(f"tables/faces/{name}/{side}", face.columns())
            context.put_table(f"tables/forest/{name}", result.forest.columns())
            context.put_table(f"tables/up/{name}", result.up.columns())
        context.record.figures.update(
            fragments=len(result.forest.fragment), s_rows=len(result.up.s_u), a_rows=len(result.up.a_u)
        )
