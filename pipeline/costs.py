"""What a plan will cost, before it runs: tasks, bytes, objects, halo overhead, peak memory per task.

Bytes are of uncompressed arrays: a chunk is read with all its channels, whatever is used of it. Peak memory is an
estimate from the size of a task's arrays, held against receipts in the tests; the graph tables of inner nodes depend on
the data and are estimated by surface (`node_memory.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from emseg.models.spec import ModelSpec
from emseg.pipeline.node_memory import level_bytes, node_bytes
from emseg.pipeline.plan import Plan
from emseg.pipeline.tier import Tier
from emseg.tasks.arrays.rules import PERCENT
from emseg.tasks.volume.grid import Grid
from emseg.tasks.volume.info import LayerSpec, new_info, parse_scale
from emseg.tasks.volume.tree import Tree
from emseg.tasks.windows import lattice_of

PROCESS_BYTES = 550 << 20  # a worker with CloudVolume and compiled kernels loaded
TORCH_BYTES = 250 << 20  # more, of one with a network
LEAF_BYTES = 60  # per voxel of a leaf's read box, 15 voxels a fragment; real ones need 12 (tests/bench/leaf_bytes.py)
FROM_FLOAT_BYTES = 60  # per voxel: three channels as float64, twice, and as weights
GIVEN_BYTES = 16  # per voxel more of a leaf over given fragments: uint64 as stored, and as decoded
BINS_BYTES = 24  # per voxel more where a quantile links: histograms of 1.2 edges a voxel, 15 voxels a fragment; counted
INSTANCE_BYTES = 32  # per voxel of a chunk: stored and decoded labels, runs, numbers, slabs
INSTANCE_READ_BYTES = 4  # per voxel of a chunk's file; files are mostly compressed, of uint8 to uint64
MATCH_BYTES = 48  # per voxel of a seam: two slabs, their parts, runs, keys
RELABEL_BYTES = 40  # per voxel: two uint64 volumes, their encoding, the labels
ACTIVATION_BYTES = 640  # per voxel of a batch of patches, float32
TASK_OBJECTS = 3  # a receipt, the begin and the end of an attempt
FLOAT_BYTES = 4


@dataclass(frozen=True)
class Voxel:
    """What one voxel of the source holds."""

    channels: int = 1
    itemsize: int = 1

    @property
    def bytes(self) -> int:
        """Bytes of all channels."""
        return self.channels * self.itemsize


@dataclass
class Price:
    """Totals of a plan; dictionaries are by stage."""

    tasks: dict[str, int] = field(default_factory=dict)
    bytes_read: int = 0
    bytes_written: int = 0
    objects: int = 0
    halo_overhead: dict[str, float] = field(default_factory=dict)
    peak_bytes_per_task: dict[str, int] = field(default_factory=dict)
    tree_node_bytes: dict[str, int] = field(default_factory=dict)  # by tier: what a node or partition holds at its peak

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return dict(vars(self))

    @property
    def peak_bytes(self) -> int:
        """Greatest peak of any task."""
        return max(self.peak_bytes_per_task.values(), default=0)


def price_of(
    plan: Plan,
    specs: Mapping[str, LayerSpec],
    model: ModelSpec | None,
    source: Voxel | None = None,
    denoiser: ModelSpec | None = None,
) -> Price:
    """The price of a plan.

    Args:
        specs: layers that it makes.
        model: that it predicts with, if it does.
        source: what a voxel of the image, or of affinities made elsewhere, holds; default: the least that fits.
        denoiser: that it denoises with, if it does.
    """
    price = Price(plan.planned())
    own = Voxel(len(model.offsets)) if model is not None else source or Voxel(3)
    for tier in plan.tiers:
        network = {"predict": model, "denoise": denoiser}.get(tier.kind)
        if network is not None:
            _network(price, tier, network, *(_voxel(specs, tier.fields[n], source) for n in ("source", "out")))
        elif tier.kind == "fragment":
            _fragment(price, tier, own)
        elif tier.kind == "instances":
            _instances(price, tier)
        elif tier.kind == "match":
            _match(price, tier)
        elif tier.kind == "relabel":
            _relabel(price, tier)
        elif tier.kind in ("merge", "enter") or tier.name == "rounds/R0":
            _tree(price, tier)
        elif tier.kind == "downsample":
            _downsample(price, tier)
        price.objects += TASK_OBJECTS * len(tier.grid) + _tables(tier)
    price.objects += sum(map(_layer_objects, specs.values()))
    price.objects += 1 + len({"model", "levels", "denoiser"} & set(plan.pins))
    return price


def _layer_objects(spec: LayerSpec) -> int:
    """`info` and the storage chunks of all mips."""
    info = new_info(spec)
    scales = [parse_scale(info, mip, "layer") for mip in range(len(spec.factors) + 1)]
    return 1 + sum(len(Grid(scale.bounds, scale.chunk_vx)) for scale in scales)


def _tables(tier: Tier) -> int:
    """Tables that the tasks of a tier write."""
    tasks = len(tier.grid)
    if tier.kind == "fragment":
        faces = sum(tasks // n * (n - 1) for n in tier.grid.shape)
        return 2 * tasks + 2 * faces  # forest and what goes up; both sides of each inner face
    if tier.kind == "resolve":
        below = Tree.of_json(tier.fields["leaves"]).nodes(tier.fields["level"] - 1)
        return len(below)  # what goes down, one a child
    if tier.kind == "enter":
        return tasks * int(tier.fields["partitions"])
    if tier.kind in ("round", "naming", "gather"):
        return tasks  # votes, or what goes down; states and mail depend on the data
    return 2 * tasks if tier.kind == "merge" else 0


def _read_voxels(grid: Grid, pad: int) -> int:
    """Voxels that all chunks of a grid read, with a halo, inside the grid's box."""
    total = 1
    for low, high, chunk in zip(*grid.bbox, grid.chunk_vx, strict=True):
        starts = range(low, high, chunk)
        total *= sum(min(a + chunk + pad, high) - max(a - pad, low) for a in starts)
    return total


def _largest(grid: Grid, pad: int = 0) -> int:
    """Voxels of the largest chunk, with a halo inside the grid's box."""
    return math.prod(min(c + 2 * pad, n) for c, n in zip(grid.chunk_vx, grid.bbox.size, strict=True))


def _voxel(specs: Mapping[str, LayerSpec], name: str, source: Voxel | None) -> Voxel:
    """What a voxel of a layer of the plan holds."""
    spec = specs.get(name)
    return source or Voxel() if spec is None else Voxel(spec.channels, np.dtype(spec.dtype).itemsize)


def _network(price: Price, tier: Tier, model: ModelSpec, source: Voxel, out: Voxel) -> None:
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
    price.bytes_read += read * source.bytes
    price.bytes_written += voxels * out.bytes
    patch_bytes = int(tier.fields["batch"]) * math.prod(lattice.patch_vx) * ACTIVATION_BYTES
    arrays = _largest(grid) * (9 * channels + FLOAT_BYTES + source.bytes)
    price.peak_bytes_per_task[tier.stage] = PROCESS_BYTES + TORCH_BYTES + arrays + patch_bytes


def _fragment(price: Price, tier: Tier, source: Voxel) -> None:
    read = _read_voxels(tier.grid, 1)
    price.halo_overhead["fragment"] = read / tier.grid.bbox.voxels
    given = 8 * _read_voxels(tier.grid, 1) if tier.fields.get("given") else 0
    price.bytes_read += read * source.bytes + given
    price.bytes_written += 4 * tier.grid.bbox.voxels
    reading = source.bytes + 3 * source.itemsize  # all channels, then a copy of three
    turning = FROM_FLOAT_BYTES if source.itemsize == FLOAT_BYTES else 0
    per_voxel = max(LEAF_BYTES, reading, turning) + (GIVEN_BYTES if given else 0)
    per_voxel += BINS_BYTES if tier.fields["rules"].get("linkage") in PERCENT else 0
    price.peak_bytes_per_task["fragment"] = PROCESS_BYTES + _largest(tier.grid, 1) * per_voxel


def _instances(price: Price, tier: Tier) -> None:
    grid = tier.grid
    read = math.prod(
        n + (count - 1) * o for n, count, o in zip(grid.bbox.size, grid.shape, grid.overlap_vx, strict=True)
    )
    largest = math.prod(min(c + o, n) for c, o, n in zip(grid.chunk_vx, grid.overlap_vx, grid.bbox.size, strict=True))
    price.halo_overhead["fragment"] = read / grid.bbox.voxels
    price.bytes_read += INSTANCE_READ_BYTES * read
    price.bytes_written += 4 * (grid.bbox.voxels + 2 * _seam_voxels(grid))
    price.peak_bytes_per_task["fragment"] = PROCESS_BYTES + largest * INSTANCE_BYTES


def _match(price: Price, tier: Tier) -> None:
    grid = tier.grid
    price.bytes_read += 8 * _seam_voxels(grid)
    core = [min(n, c + o) for n, c, o in zip(grid.bbox.size, grid.chunk_vx, grid.overlap_vx, strict=True)]
    sides = [list(core) for _ in range(3)]
    for axis, side in enumerate(sides):
        side[axis] = grid.overlap_vx[axis] if grid.shape[axis] > 1 else 0
    price.peak_bytes_per_task["match"] = PROCESS_BYTES + max(map(math.prod, sides)) * MATCH_BYTES


def _seam_voxels(grid: Grid) -> int:
    """Voxels of all seams: along each axis, as many as the box is wide, less one chunk."""
    total = 0
    for axis in range(3):
        across = grid.bbox.voxels // grid.bbox.size[axis]
        total += (grid.shape[axis] - 1) * grid.overlap_vx[axis] * across
    return total


def _tree(price: Price, tier: Tier) -> None:
    tree, level = Tree.of_json(tier.fields["leaves"]), int(tier.fields["level"])
    if tier.kind == "merge":
        held = node_bytes(tree, level, tier.fields["rules"].get("linkage", "mean"))
    elif tier.kind == "enter":  # a node, and one that it meets
        held = math.ceil(2 * level_bytes(tree, level) / len(tier.grid))
    else:
        held = math.ceil(level_bytes(tree, level) / int(tier.fields["partitions"]))
    price.tree_node_bytes["rounds" if tier.kind == "round" else tier.name] = held
    peak = price.peak_bytes_per_task
    peak[tier.stage] = max(peak.get(tier.stage, 0), PROCESS_BYTES + held)


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
