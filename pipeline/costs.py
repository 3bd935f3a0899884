"""What a plan will cost, before it runs: tasks, bytes, objects, halo overhead, peak memory per task.

Bytes are of uncompressed arrays. Peak memory is an estimate from the size of a task's arrays, checked against receipts
in the tests; the graph tables of inner nodes depend on the data and are left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from emseg.models.spec import ModelSpec
from emseg.pipeline.plan import Plan
from emseg.pipeline.tier import Tier
from emseg.tasks.volume.grid import Grid
from emseg.tasks.volume.info import LayerSpec
from emseg.tasks.windows import lattice_of

PROCESS_BYTES = 450 << 20  # a worker with torch and CloudVolume loaded
LEAF_BYTES = 34  # per voxel of a leaf's read box: codes, weights, labels, union-find, rows
RELABEL_BYTES = 40  # per voxel: two uint64 volumes, their encoding, the labels
ACTIVATION_BYTES = 640  # per voxel of a batch of patches, float32


@dataclass
class Price:
    """Totals of a plan; dictionaries are by stage."""

    tasks: dict[str, int] = field(default_factory=dict)
    bytes_read: int = 0
    bytes_written: int = 0
    objects: int = 0
    halo_overhead: dict[str, float] = field(default_factory=dict)
    peak_bytes_per_task: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return dict(vars(self))


def price_of(
    plan: Plan, specs: dict[str, LayerSpec], model: ModelSpec | None, denoiser: ModelSpec | None = None
) -> Price:
    """The price of a plan."""
    price = Price(plan.planned())
    for tier in plan.tiers:
        network = {"predict": model, "denoise": denoiser}.get(tier.kind)
        if network is not None:
            _network(price, tier, network)
        elif tier.kind == "fragment":
            _fragment(price, tier)
        elif tier.kind == "relabel":
            _relabel(price, tier)
        elif tier.kind == "downsample":
            _downsample(price, tier)
        price.objects += len(tier.grid)  # receipts
    for spec in specs.values():
        price.objects += len(Grid(spec.bbox, spec.chunk_vx))
    return price


def _read_voxels(grid: Grid, pad: int) -> int:
    """Voxels that all chunks of a grid read, with a halo, inside the grid's box."""
    total = 1
    for low, high, chunk in zip(*grid.bbox, grid.chunk_vx, strict=True):
        starts = range(low, high, chunk)
        total *= sum(min(a + chunk + pad, high) - max(a - pad, low) for a in starts)
    return total


def _largest(grid: Grid) -> int:
    return math.prod(min(c, n) for c, n in zip(grid.chunk_vx, grid.bbox.size, strict=True))


def _network(price: Price, tier: Tier, model: ModelSpec) -> None:
    lattice, grid, channels = lattice_of(model), tier.grid, model.out_channels
    patches = 1
    read = 1
    for axis in range(3):
        low, high, chunk = grid.bbox.min[axis], grid.bbox.max[axis], grid.chunk_vx[axis]
        spans = [(a, min(a + chunk, high)) for a in range(low, high, chunk)]
        starts = [lattice.starts(axis, a, b) for a, b in spans]
        patches *= sum(map(len, starts))
        read *= sum(s[-1] + lattice.patch_vx[axis] - s[0] for s in starts)
    voxels = grid.bbox.voxels
    price.halo_overhead[tier.stage] = patches * math.prod(lattice.patch_vx) / voxels
    price.bytes_read += read
    price.bytes_written += voxels * channels
    patch_bytes = int(tier.fields["batch"]) * math.prod(lattice.patch_vx) * ACTIVATION_BYTES
    price.peak_bytes_per_task[tier.stage] = PROCESS_BYTES + _largest(grid) * (9 * channels + 4) + patch_bytes


def _fragment(price: Price, tier: Tier) -> None:
    read = _read_voxels(tier.grid, 1)
    price.halo_overhead["fragment"] = read / tier.grid.bbox.voxels
    price.bytes_read += 3 * read
    price.bytes_written += 4 * tier.grid.bbox.voxels
    price.peak_bytes_per_task["fragment"] = PROCESS_BYTES + _largest(tier.grid) * LEAF_BYTES


def _relabel(price: Price, tier: Tier) -> None:
    price.halo_overhead["relabel"] = 1.0
    price.bytes_read += 4 * tier.grid.bbox.voxels
    price.bytes_written += 16 * tier.grid.bbox.voxels
    price.peak_bytes_per_task["relabel"] = PROCESS_BYTES + _largest(tier.grid) * RELABEL_BYTES


def _downsample(price: Price, tier: Tier) -> None:
    factor = math.prod(tier.fields["factor"])
    price.halo_overhead["downsample"] = 1.0
    price.bytes_read += 8 * factor * tier.grid.bbox.voxels
    price.bytes_written += 8 * tier.grid.bbox.voxels
    peak = PROCESS_BYTES + _largest(tier.grid) * factor * 24
    price.peak_bytes_per_task["downsample"] = max(price.peak_bytes_per_task.get("downsample", 0), peak)
