"""`emseg stats`: grey levels of a whole source, per section and in all, from integer histograms.

The file is JSON: {"low", "high", "mean", "std", "sections": {"<z>": [low, high, mean, std], …}}, levels at the given
shares of the voxels, value 0 (padding) left out. `normalise.levels` in run.yaml names it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from emseg.pipeline.plan import Plan
from emseg.pipeline.runner import Watch
from emseg.pipeline.small import records_at, run_small
from emseg.pipeline.tier import Tier
from emseg.tasks.arrays.histogram import VALUES, levels_of
from emseg.tasks.base import canonical_json
from emseg.tasks.context import LayerRef
from emseg.tasks.volume.bbox import BBox, vec
from emseg.tasks.volume.errors import ConfigError
from emseg.tasks.volume.grid import Grid
from emseg.tasks.volume.layer import open_layer
from emseg.tasks.volume.limits import TABLE_BYTES
from emseg.tasks.volume.objects import Objects
from emseg.tasks.volume.table import decode_table
from emseg.tasks.volume.url import canonical_url

CHUNK_VX = (512, 512, 64)
LOW_SHARE, HIGH_SHARE = 0.005, 0.995


def stats(
    source: str,
    out: Path,
    *,
    mip: int = 0,
    workers: int = 1,
    records: str = "",
    watch: Watch = lambda tally: None,
) -> dict[str, Any]:
    """Measure a source and write its levels.

    Args:
        source: image layer, uint8 or uint16, one channel.
        out: JSON file to write.
        mip: of the source.
        workers: processes.
        records: folder that keeps the histograms, so that a stopped measurement goes on; default: a temporary one.

    Returns:
        low, high, mean, std, sections (their number), levels (the file).

    Raises:
        ConfigError: the source is not grey, or `out` cannot be written; nothing was started.
    """
    layer = open_layer(source, mip)
    if layer.dtype.name not in VALUES or layer.channels != 1:
        raise ConfigError(
            f"{layer.where}: is {layer.dtype} of {layer.channels} channels; stats reads grey uint8 or uint16"
        )
    _require_writable(out)
    tier = Tier("stats", "stats", Grid(layer.bounds, CHUNK_VX), {"source": "source"})
    plan = Plan({"source": LayerRef(canonical_url(source), mip)}, (tier,))
    with records_at(records) as place:
        run = run_small(plan, place, workers, watch)
        values = _levels(tier, run, VALUES[layer.dtype.name])
    part = out.with_name(f".{out.name}.part")
    part.write_bytes(canonical_json(values))
    part.replace(out)
    return {**values, "sections": len(values["sections"]), "levels": str(out)}


def _require_writable(out: Path) -> None:
    if out.is_dir() or not os.access(out.parent, os.W_OK):
        raise ConfigError(f"--out {out}: cannot be written; name a file in a folder that you may write to")


def _levels(tier: Tier, run: Objects, values: int) -> dict[str, Any]:
    """Levels of all and of each section; slab by slab, so that memory does not grow with the sections."""
    whole = np.zeros(values, np.int64)
    sections = {}
    for slab in _slabs(tier.grid):
        counts = np.zeros((slab.size[2], values), np.int64)
        for key in tier.keys_meeting(slab):
            where = f"tables/{key}"
            counts += decode_table(run.require(where, TABLE_BYTES), run.where(where))["counts"]
        whole += counts.sum(0)
        for z, row in enumerate(counts, slab.min[2]):
            sections[str(z)] = list(vars(levels_of(row, LOW_SHARE, HIGH_SHARE)).values())
    return {**vars(levels_of(whole, LOW_SHARE, HIGH_SHARE)), "sections": sections}


def _slabs(grid: Grid) -> Iterator[BBox]:
    """Boxes across the whole grid, one chunk thick."""
    return (
        grid.core((0, 0, z)).joined(grid.core(vec([n - 1 for n in grid.shape[:2]] + [z]))) for z in range(grid.shape[2])
    )
