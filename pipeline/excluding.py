"""Decide what a run excludes: whole cells of masks and of blank source, and bad sections; the same for every grid.

A cell is one voxel of the mask's (or the blank test's) mip, so it covers whole voxels of the run, counted from
absolute 0. The decision is kept as small uint8 layers in the run directory; their content is pinned in the plan.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from emseg.pipeline.config import RunConfig
from emseg.tasks.context import LayerRef
from emseg.tasks.volume.bbox import BBox, Vec, vec
from emseg.tasks.volume.errors import ConfigError
from emseg.tasks.volume.grid import Grid
from emseg.tasks.volume.info import LayerSpec, VoxelNm, reduced
from emseg.tasks.volume.layer import Layer, create_layer, open_layer
from emseg.tasks.volume.objects import Objects
from emseg.tasks.volume.url import joined_url

CELL_LAYERS = (MASK, BLANK) = ("excluded_mask", "excluded_blank")
READ_VX = (128, 128, 128)  # cells decided at a time
Decide = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class CellSource:
    """One layer that decides cells, and how."""

    name: str
    layer: Layer
    factor: Vec
    spec: LayerSpec
    decide: Decide

    def cells(self) -> Iterator[tuple[BBox, np.ndarray]]:
        """(box of cells, uint8 [z, y, x], 1 = excluded); cells that the layer lacks are excluded."""
        grid = Grid(self.spec.bbox, READ_VX)
        for index in grid.indices():
            core = grid.core(index)
            out = np.ones(core.shape_ZYX, np.uint8)
            inside = core.clipped(self.layer.bounds)
            if not inside.empty:
                out[inside.slices_ZYX(core.min)] = self.decide(self.layer.read_ZYX(inside))
            yield core, out

    def digest(self) -> str:
        """sha256 of all cells."""
        return _digest(cells for _, cells in self.cells())


@dataclass(frozen=True)
class Excluded:
    """All that a run excludes."""

    sources: tuple[CellSource, ...] = ()
    sections: tuple[int, ...] = ()
    pins: Mapping[str, str] = field(default_factory=dict)

    @property
    def refs(self) -> dict[str, LayerRef]:
        """Layers of cells, in the run directory."""
        return {s.name: LayerRef(f"./layers/{s.name}") for s in self.sources}

    @property
    def fields(self) -> dict[str, Any]:
        """Fields of the tasks' Exclusion."""
        cells = [{"layer": s.name, "factor": s.factor} for s in self.sources]
        return {"cells": cells, "sections": self.sections}

    @property
    def warnings(self) -> list[str]:
        """What a person should know: masks that do not reach over the whole run."""
        short = (s for s in self.sources if s.name == MASK and not s.layer.bounds.holds(s.spec.bbox))
        return [
            f"mask: {s.layer.where} mip {s.layer.mip} holds {s.layer.bounds}, the run needs {s.spec.bbox} of its "
            "voxels; what it lacks is left out"
            for s in short
        ]

    def store(self, run: Objects) -> None:
        """Write the layers of cells."""
        for source in self.sources:
            layer = create_layer(joined_url(run.url, "layers", source.name), source.spec)
            for core, cells in source.cells():
                layer.write(core, cells)


def excluded_of(config: RunConfig, bbox: BBox, voxel_nm: VoxelNm) -> Excluded:
    """What a run excludes.

    Raises:
        ConfigError: a mask whose voxels are no whole multiple of the run's.
    """
    sources = []
    if config.mask is not None:
        keep = config.mask.keep == "nonzero"
        layer = open_layer(config.mask.layer, config.mask.mip)
        sources.append(_source(MASK, layer, bbox, voxel_nm, lambda a: (a == 0) if keep else (a != 0)))
    if config.skip_blank is not None and config.source is not None:
        at_most = config.skip_blank.at_most
        layer = open_layer(config.source.layer, config.skip_blank.mip, missing=config.source.missing)
        sources.append(_source(BLANK, layer, bbox, voxel_nm, lambda a: a <= at_most))
    pins = {s.name: s.digest() for s in sources}
    return Excluded(tuple(sources), tuple(sorted(set(config.bad_sections))), pins)


def cells_digest(layer: Layer) -> str:
    """sha256 of a stored layer of cells: what the plan pins."""
    grid = Grid(layer.bounds, READ_VX)
    return _digest(layer.read_ZYX(grid.core(index)) for index in grid.indices())


def _digest(blocks: Iterable[np.ndarray]) -> str:
    total = hashlib.sha256()
    for cells_ZYX in blocks:
        total.update(np.packbits(cells_ZYX).tobytes())
    return total.hexdigest()


def _source(name: str, layer: Layer, bbox: BBox, voxel_nm: VoxelNm, decide: Decide) -> CellSource:
    ratios = [a / b for a, b in zip(layer.voxel_nm, voxel_nm, strict=True)]
    factor = vec([round(r) for r in ratios])
    if any(f < 1 or abs(f - r) > 1e-3 * r for f, r in zip(factor, ratios, strict=True)):
        raise ConfigError(
            f"{layer.where} mip {layer.mip}: its voxels {list(layer.voxel_nm)} nm are no whole multiple of the run's "
            f"{list(voxel_nm)}; choose another mip"
        )
    x, y, z = layer.voxel_nm
    spec = LayerSpec("image", "uint8", 1, reduced(bbox, factor), (x, y, z), READ_VX, "raw", "gzip")
    return CellSource(name, layer, factor, spec, decide)
