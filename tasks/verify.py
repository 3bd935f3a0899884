"""Audit a node of the merge tree: make it again from the affinities, over another grid, and compare."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from emseg.tasks.arrays.audit import random_cuts, unlike
from emseg.tasks.arrays.coded import weights_in
from emseg.tasks.arrays.columns import U64, Bool
from emseg.tasks.arrays.forest import Forest, Up
from emseg.tasks.arrays.fragments import without_excluded
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.arrays.sides import excluded_box, weights_box
from emseg.tasks.arrays.sweep import climb
from emseg.tasks.base import Task
from emseg.tasks.context import Context
from emseg.tasks.exclusion import Exclusion
from emseg.tasks.volume.bbox import BBox, Vec
from emseg.tasks.volume.errors import CorruptChunkError
from emseg.tasks.volume.tree import Tree
from emseg.tasks.weights import AffinityForm


@dataclass(frozen=True)
class Verify(Task):
    """Affinities of a node's box and its stored tables -> proof, or an error, that another grid gives the same.

    Attributes:
        leaves: the tree; `level` is the node's in it.
        rules: thresholds and sizes, as integers.
        affinities, exclusion, given: as the leaves read them.
        seed: decides the other grid.
    """

    kind: ClassVar[str] = "verify"
    version: ClassVar[int] = 2

    leaves: Tree
    rules: Rules
    level: int
    affinities: AffinityForm
    exclusion: Exclusion = field(default_factory=Exclusion)
    given: str = ""
    seed: int = 0

    def execute(self, context: Context) -> None:
        """Read, climb over other cuts, compare what is handed up and what is settled.

        Raises:
            CorruptChunkError: the stored node is not what its affinities give.
        """
        bbox = self.leaves.bbox
        with context.record.phase("read"):
            index = self.leaves.index(self.level, self.core)
            stored = Up.of(context.tree_table(f"tables/up/{self.leaves.name(self.level, index)}"))
            forests = [Forest.of(context.tree_table(f"tables/forest/{name}")) for name in self._below(index)]
            around = weights_box(self.core, bbox)
            weights_CZYX = self.affinities.read(context, around)
            excluded_ZYX = self.exclusion.of(context, excluded_box(self.core, bbox))
            if excluded_ZYX is not None:
                weights_CZYX = weights_in(without_excluded(weights_CZYX, excluded_ZYX, self.core, bbox))
            given_ZYX = self._given(context, around, excluded_ZYX) if self.given else None
        with context.record.phase("climb"):
            cuts = random_cuts(self.core, self.leaves.chunk_vx, self.seed)
            climbed = climb(weights_CZYX, around, cuts, self.rules, given_ZYX=given_ZYX)
        fresh = [forest for level in climbed.tree for forest in level.values()]
        if difference := unlike(stored, forests, climbed.up, fresh):
            raise CorruptChunkError(
                f"{self.leaves.name(self.level, index)}: {difference} differ over the cuts {cuts}; the stored tables "
                "are not what these affinities give: run `emseg check`, then plan into a new directory"
            )
        settled = sum(len(forest.settled) for forest in fresh)
        context.record.figures.update(voxels=self.core.voxels, settled=settled, rows=len(stored.a_u))
        context.put_table(f"tables/{self.key}", {"settled": np.array([settled], np.uint64)})

    def _given(self, context: Context, around: BBox, excluded_ZYX: Bool | None) -> U64:
        """Fragments made elsewhere, over the box of the weights; 0 where excluded."""
        given_ZYX: U64 = context.layer(self.given).read_ZYX(around).astype(np.uint64)
        if excluded_ZYX is not None:
            given_ZYX[excluded_ZYX[around.slices_ZYX(excluded_box(self.core, self.leaves.bbox).min)]] = 0
        return given_ZYX

    def _below(self, index: Vec) -> Iterator[str]:
        """Names of the node and of all nodes and leaves below it."""
        for level in range(self.level, -1, -1):
            for place in self.leaves.nodes(level).indices_meeting(self.core):
                yield self.leaves.name(level, place)
