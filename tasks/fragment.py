"""A leaf of the merge tree: fragments of one chunk, by watershed or given, their contacts, what is settled already."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from emseg.tasks.arrays.given import given_leaf
from emseg.tasks.arrays.leaf import LeafResult, leaf
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.arrays.sides import excluded_box, given_box, weights_box
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
        given: layer of labels made elsewhere that stand in for the watershed; '' for none.
    """

    kind: ClassVar[str] = "fragment"

    leaves: Tree
    rules: Rules
    affinities: AffinityForm
    provisional: str
    exclusion: Exclusion = field(default_factory=Exclusion)
    given: str = ""

    def execute(self, context: Context) -> None:
        """Read affinities, make the leaf, write it."""
        name = self.leaves.name(0, self.leaves.index(0, self.core))
        result = self._leaf(context)
        with context.record.phase("write"):
            context.layer(self.provisional).write(self.core, result.labels_ZYX)
            for side, face in result.faces.items():
                context.put_table(f"tables/faces/{name}/{side}", face.columns())
            context.put_table(f"tables/forest/{name}", result.forest.columns())
            context.put_table(f"tables/up/{name}", result.up.columns())
        context.record.figures.update(
            fragments=len(result.forest.fragment), s_rows=len(result.up.s_u), a_rows=len(result.up.a_u)
        )

    def _leaf(self, context: Context) -> LeafResult:
        core, bbox = self.core, self.leaves.bbox
        with context.record.phase("read"):
            excluded_ZYX = self.exclusion.of(context, excluded_box(core, bbox))
            affinities = self.affinities.read_coded(context, weights_box(core, bbox))
            if self.given:
                stored_ZYX = context.layer(self.given).read_ZYX(given_box(core, bbox))
                given_ZYX = stored_ZYX.astype(np.uint64, copy=False)
        with context.record.phase("leaf"):
            if self.given:
                return given_leaf(given_ZYX, affinities, core, bbox, self.rules, excluded_ZYX)
            return leaf(affinities, core, bbox, self.rules, excluded_ZYX)
