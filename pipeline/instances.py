"""Start from overlapping chunks of instances: find the files, check that they make a grid, lay the tiers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from emseg.pipeline.config import Instances, RunConfig
from emseg.pipeline.tier import Need, Tier
from emseg.tasks.arrays.annotations import annotation_info
from emseg.tasks.base import json_digest
from emseg.tasks.volume.bbox import BBox, Vec, vec
from emseg.tasks.volume.chunkfile import ChunkFile
from emseg.tasks.volume.errors import ConfigError, LayerError
from emseg.tasks.volume.grid import Grid, key_of
from emseg.tasks.volume.info import VoxelNm
from emseg.tasks.volume.limits import ARRAY_BYTES
from emseg.tasks.volume.objects import Objects
from emseg.tasks.volume.url import redacted

LAYER = "layers/conflicts"  # folder of the annotation layer in the run directory


@dataclass(frozen=True)
class InstanceChunks:
    """Chunks of instances that were found: their grid, how files are named, least overlap, digest of the names."""

    grid: Grid
    file: ChunkFile
    least_vx: int
    digest: str

    def tiers(self, tree: Mapping[str, Any], exclusion: Mapping[str, Any]) -> list[Tier]:
        """Tiers below the tree: the leaves, named as every run's, and the match of neighbours."""
        own = {"source": "source", "file": asdict(self.file), "provisional": "provisional", "exclusion": exclusion}
        leaves = Tier("fragment", "instances", self.grid, {**tree, **own})
        need = Need("fragment", (1, 1, 1))
        return [leaves, Tier("match", "match", self.grid, {**tree, "least_vx": self.least_vx}, (need,))]

    def conflict_tier(self, tree: Mapping[str, Any]) -> Tier:
        """The tier that tells people of conflicts."""
        cells, reach = self.cells, vec([o + 1 for o in self.grid.overlap_vx])
        field = {"bbox": {"min": cells.bbox.min, "max": cells.bbox.max}, "chunk_vx": cells.chunk_vx}
        fields = {**tree, "cells": field, "out": LAYER}
        return Tier("conflicts", "conflicts", cells, fields, (Need("resolve/L1", reach, reach),), final=True)

    @property
    def cells(self) -> Grid:
        """Cells of conflicts: the chunks without their overlaps."""
        return Grid(self.grid.bbox, self.grid.chunk_vx)

    def objects(self, voxel_nm: VoxelNm) -> dict[str, bytes]:
        """What stands in the run directory from the start: `info` of the annotation layer."""
        return {f"{LAYER}/info": json.dumps(annotation_info(self.cells, voxel_nm), sort_keys=True).encode()}

    def provisional_box(self, storage_vx: Vec) -> BBox:
        """Bounds of provisional labels: grown below, so that inner cores start on the storage grid."""
        low = [
            a - (-(n - a) % s) if many > 1 else a
            for a, n, s, many in zip(self.grid.bbox.min, self.grid.anchor, storage_vx, self.grid.shape, strict=True)
        ]
        return BBox.of(low, self.grid.bbox.max)


def instance_chunks(config: RunConfig, given: Instances) -> InstanceChunks:
    """The chunks that a folder holds; where `bbox` says so, those of them that lie in it.

    Raises:
        ConfigError, LayerError: there are none, or they make no grid of overlapping chunks, or
            `bbox` does not begin and end with chunks.
    """
    _require_used(config)
    file = ChunkFile(given.name, given.dataset)
    folder = Objects(given.folder)
    where = f"folder {redacted(folder.url)}"
    corners = sorted(file.corners(folder.list()), key=lambda corner: corner[::-1])
    if not corners:
        raise LayerError(f"{where}: holds no file {given.name!r}; check instances.folder and instances.name")
    step = _step(given)
    if config.bbox is not None:
        corners = _inside(corners, BBox.of(*config.bbox), given.overlap_vx, where)
    shape = _shape(corners, step, where)
    bounds = BBox.of(corners[0], _end(folder, file, corners[-1], given.chunk_vx))
    if config.bbox is not None and (box := BBox.of(*config.bbox)) != bounds:
        raise ConfigError(f"bbox {box}: must begin and end where chunks do; its chunks are {bounds}: use that")
    for axis, (count, overlap) in enumerate(zip(shape, given.overlap_vx, strict=True)):
        if count > 1 and overlap == 0:
            raise ConfigError(
                f"instances.overlap_vx {list(given.overlap_vx)}: {count} chunks along {'xyz'[axis]} do not overlap and "
                "cannot be matched; make chunks that overlap"
            )
    return InstanceChunks(Grid(bounds, step, vec(given.overlap_vx)), file, given.least_vx, json_digest(corners))


def _require_used(config: RunConfig) -> None:
    """Refuse keys that do nothing to instances."""
    merge = {"min_size_vx", "linkage"} & config.stages.merge.model_fields_set
    unused = [f"stages.merge.{name}" for name in sorted(merge)]
    unused += ["stages.fragment"] if config.stages.fragment.model_fields_set else []
    unused += ["normalise"] if config.normalise.kind != "none" else []
    if unused:
        raise ConfigError(f"{unused[0]}: does nothing to instances:, whose files say what is where; leave it out")


def _inside(corners: list[Vec], box: BBox, overlap_vx: Vec, where: str) -> list[Vec]:
    """Corners of the chunks in a box: their core begins in it."""
    spans = list(zip(*box, overlap_vx, strict=True))
    kept = [c for c in corners if all(a <= at < b - o for at, (a, b, o) in zip(c, spans, strict=True))]
    if not kept:
        raise ConfigError(f"bbox {box}: holds no chunk of {where}, whose first begins at {key_of(corners[0])}; mend it")
    return kept


def _step(given: Instances) -> Vec:
    if any(o >= c for c, o in zip(given.chunk_vx, given.overlap_vx, strict=True)):
        raise ConfigError(
            f"instances.overlap_vx {list(given.overlap_vx)}: must be less than chunk_vx {list(given.chunk_vx)}, the "
            "size of a chunk with its overlaps"
        )
    return vec([c - o for c, o in zip(given.chunk_vx, given.overlap_vx, strict=True)])


def _shape(corners: list[Vec], step: Vec, where: str) -> Vec:
    """Chunks along x, y, z; refuses files off the grid and holes in it."""
    low = vec([min(c[axis] for c in corners) for axis in range(3)])
    for corner in corners:
        if any((c - a) % s for c, a, s in zip(corner, low, step, strict=True)):
            raise ConfigError(
                f"{where}: chunk {key_of(corner)} does not fit the grid from {key_of(low)} in steps of {list(step)}, "
                "chunk_vx less overlap_vx; mend these"
            )
    high = [max(c[axis] for c in corners) for axis in range(3)]
    shape = vec([(b - a) // s + 1 for a, b, s in zip(low, high, step, strict=True)])
    if len(set(corners)) < shape[0] * shape[1] * shape[2]:
        known, every = set(corners), Grid(BBox.of(low, [h + 1 for h in high]), step)
        missing = next(c for i in every.indices() if (c := every.core(i).min) not in known)
        raise LayerError(f"{where}: chunk {key_of(missing)} is missing in a grid of {list(shape)} chunks; make it")
    return shape


def _end(folder: Objects, file: ChunkFile, corner: Vec, chunk_vx: Vec) -> Vec:
    """Where the volume ends: the last chunk's corner and its array's size."""
    key = file.key(corner)
    size = file.decoded(folder.require(key, ARRAY_BYTES), folder.where(key)).shape[::-1]
    if any(n > c for n, c in zip(size, chunk_vx, strict=True)):
        raise ConfigError(
            f"{folder.where(key)}: holds {list(size)} voxels (x, y, z), more than chunk_vx {list(chunk_vx)}; mend it"
        )
    return vec([c + n for c, n in zip(corner, size, strict=True)])
