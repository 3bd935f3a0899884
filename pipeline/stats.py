"""`emseg stats`: grey levels of a whole source, per section and in all, from integer histograms.

The file is JSON: {"low", "high", "mean", "std", "sections": {"<z>": [low, high, mean, std], …}}, levels at the given
shares of the voxels, value 0 (padding) left out. `normalise.levels` in run.yaml names it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from emseg.pipeline.plan import Plan
from emseg.pipeline.runner import Watch
from emseg.pipeline.small import run_small
from emseg.pipeline.tier import Tier
from emseg.tasks.arrays.histogram import VALUES, levels_of
from emseg.tasks.base import canonical_json
from emseg.tasks.context import LayerRef
from emseg.tasks.volume.errors import ConfigError
from emseg.tasks.volume.grid import Grid
from emseg.tasks.volume.layer import open_layer
from emseg.tasks.volume.limits import TABLE_BYTES
from emseg.tasks.volume.table import decode_table
from emseg.tasks.volume.url import canonical_url

CHUNK_VX = (512, 512, 64)
LOW_SHARE, HIGH_SHARE = 0.005, 0.995


def stats(
    source: str, out: Path, *, mip: int = 0, workers: int = 1, watch: Watch = lambda tally: None
) -> dict[str, Any]:
    """Measure a source and write its levels to `out`; returns low, high, mean, std, sections (their number), levels."""
    layer = open_layer(source, mip)
    if layer.dtype.name not in VALUES or layer.channels != 1:
        raise ConfigError(
            f"{layer.where}: is {layer.dtype} of {layer.channels} channels; stats reads grey uint8 or uint16"
        )
    plan = Plan(
        {"source": LayerRef(canonical_url(source), mip)},
        (Tier("stats", "stats", Grid(layer.bounds, CHUNK_VX), {"source": "source"}),),
    )
    first, count = layer.bounds.min[2], layer.bounds.size[2]
    counts = np.zeros((count, VALUES[layer.dtype.name]), np.int64)
    with tempfile.TemporaryDirectory(prefix="emseg-stats-") as folder:
        run = run_small(plan, folder, workers, watch)
        for key in plan.keys():
            where, core = f"tables/{key}", plan.tier_of(key).core(key)
            part = decode_table(run.require(where, TABLE_BYTES), run.where(where))["counts"]
            counts[core.min[2] - first : core.max[2] - first] += part
    values = _levels(counts, first)
    out.write_bytes(canonical_json(values))
    return {**values, "sections": count, "levels": str(out)}


def _levels(counts: np.ndarray, first: int) -> dict[str, Any]:
    whole = levels_of(counts.sum(0), LOW_SHARE, HIGH_SHARE)
    sections = {str(first + n): levels_of(row, LOW_SHARE, HIGH_SHARE) for n, row in enumerate(counts)}
    return {**vars(whole), "sections": {z: list(vars(levels).values()) for z, levels in sections.items()}}
