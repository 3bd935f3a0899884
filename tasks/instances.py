"""A leaf of overlapping instance chunks: labels that any segmenter made of one chunk, and what its neighbours see."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from emseg.tasks.arrays.instances import instance_leaf
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.base import Task
from emseg.tasks.context import Context
from emseg.tasks.exclusion import Exclusion
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.chunkfile import ChunkFile
from emseg.tasks.volume.compression import decompressed
from emseg.tasks.volume.errors import CorruptChunkError
from emseg.tasks.volume.limits import ARRAY_BYTES
from emseg.tasks.volume.objects import Objects
from emseg.tasks.volume.tree import Tree


@dataclass(frozen=True)
class Instances(Task):
    """One chunk's file -> provisional labels of its core, slabs, exports, forest.

    Attributes:
        leaves: the tree that this is a leaf of; its chunks overlap.
        rules: for the exports; nothing is merged here.
        source: name, in the plan's layers, of the folder.
        file: how chunks are named.
        provisional: layer of uint32 labels 1..n of each leaf.
        exclusion: excluded voxels are background.
    """

    kind: ClassVar[str] = "instances"

    leaves: Tree
    rules: Rules
    source: str
    file: ChunkFile
    provisional: str
    exclusion: Exclusion = field(default_factory=Exclusion)

    def execute(self, context: Context) -> None:
        """Read the chunk, make the leaf, write it."""
        grid, index = self.leaves.leaves, self.leaves.index(0, self.core)
        name = self.leaves.name(0, index)
        with context.record.phase("read"):
            given_ZYX = self._read(context, grid.whole(index))
        with context.record.phase("leaf"):
            result = instance_leaf(given_ZYX, grid, index, self.rules)
        with context.record.phase("write"):
            self._write_labels(context, result.labels_ZYX)
            for side, slab in result.slabs.items():
                context.put_table(f"tables/slabs/{name}/{side}", slab.columns())
            context.put_table(f"tables/forest/{name}", result.forest.columns())
            context.put_table(f"tables/up/{name}", result.up.columns())
        context.record.figures.update(fragments=len(result.forest.fragment))

    def _read(self, context: Context, whole: BBox) -> np.ndarray:
        folder, key = Objects(context.url(self.source)), self.file.key(whole.min)
        stored = folder.get_stored(key)
        if stored is None:
            raise CorruptChunkError(f"{folder.where(key)} is missing; write it again")
        context.record.read(f"{self.source}/{key}", stored.digest)
        content = decompressed(stored.content, stored.encoding, ARRAY_BYTES, folder.where(key))
        given_ZYX = self.file.decoded(content, folder.where(key))
        excluded_ZYX = self.exclusion.of(context, whole)
        if excluded_ZYX is None or excluded_ZYX.shape != given_ZYX.shape:
            return given_ZYX
        return np.where(excluded_ZYX, given_ZYX.dtype.type(0), given_ZYX)

    def _write_labels(self, context: Context, labels_ZYX: np.ndarray) -> None:
        """The layer starts below the box where the first core is no whole number of storage chunks: zeros there."""
        layer = context.layer(self.provisional)
        low = [
            b if c == a else c for a, b, c in zip(self.leaves.bbox.min, layer.bounds.min, self.core.min, strict=True)
        ]
        box = BBox.of(low, self.core.max)
        padded_ZYX = np.zeros(box.shape_ZYX, np.uint32)
        padded_ZYX[self.core.slices_ZYX(box.min)] = labels_ZYX
        layer.write(box, padded_ZYX)
