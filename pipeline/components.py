"""`emseg components`: connected components of a label layer or a thresholded image over chunks, exact for any grid."""

from __future__ import annotations

import math
from typing import Any

from emseg.pipeline.plan import Plan
from emseg.pipeline.receipts import Ledger
from emseg.pipeline.runner import Watch
from emseg.pipeline.small import run_small
from emseg.pipeline.tier import Need, Tier
from emseg.pipeline.tree import provisional_spec, tree_field, tree_tiers
from emseg.tasks.arrays.borders import AXES
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.base import json_digest
from emseg.tasks.context import LayerRef
from emseg.tasks.volume.bbox import BBox, Vec, vec
from emseg.tasks.volume.codes import require_coded
from emseg.tasks.volume.errors import ConfigError
from emseg.tasks.volume.grid import Grid
from emseg.tasks.volume.info import LayerSpec
from emseg.tasks.volume.layer import Layer, open_layer
from emseg.tasks.volume.url import canonical_url, joined_url

STORAGE_VX = 64
RELABEL_VX = 512  # greatest side of a chunk of the output
TREE = ("component", "merge")  # stages where components settle


def connected_components(
    labels: str,
    out: str,
    *,
    connectivity: int = 26,
    dust_vx: int = 0,
    above: float | None = None,
    chunk_vx: Vec = (256, 256, 256),
    bbox: BBox | None = None,
    mip: int = 0,
    records: str = "",
    workers: int = 1,
    watch: Watch = lambda tally: None,
) -> dict[str, Any]:
    """Write the components of a layer as a uint64 segmentation; id = 1 + code of the least voxel.

    Args:
        labels: layer of integers, 0 background; neighbours of one label are connected. With `above`, any image.
        out: the layer to make.
        connectivity: 6 (faces), 18 (and edges) or 26 (and corners).
        dust_vx: components of fewer voxels, in all chunks together, become 0.
        above: voxels above this value are foreground.
        chunk_vx: a leaf of the tree; it never shows in the result.
        bbox: where, at `mip`; default: the whole layer.
        mip: of `labels`.
        records: folder for records and provisional labels, so that what was stopped goes on; default: OUT.components.
        workers: processes.

    Returns:
        layer, bbox, connectivity, dust_vx, components (their number), chunks, records.

    Raises:
        ConfigError, LayerError: something does not fit; nothing was written. TaskFailedError: tasks failed for good.
    """
    source = open_layer(labels, mip)
    _require_sound(source, connectivity, dust_vx, above)
    box = _box(source, bbox)
    leaves = Grid(box, chunk_vx)
    about = {"connectivity": connectivity, "dust_vx": dust_vx, "above": above}
    storage = (STORAGE_VX,) * 3
    spec = LayerSpec(
        "segmentation",
        "uint64",
        1,
        box,
        source.voxel_nm,
        storage,
        "compressed_segmentation",
        emseg={"components": about},
    )
    url = canonical_url(out)
    place = canonical_url(records) if records else url + ".components"
    layers = {
        "source": LayerRef(canonical_url(labels), mip),
        "provisional": LayerRef("./layers/provisional"),
        "out": LayerRef(url),
    }
    pins = {"source": json_digest(dict(source.info))}
    plan = Plan(layers, _tiers(leaves, connectivity, dust_vx, above), pins)
    provisional = joined_url(place, "layers", "provisional")
    specs = {url: spec, provisional: provisional_spec(leaves, source.voxel_nm)}
    run = run_small(plan, place, workers, watch, specs)
    found = _counted(plan, Ledger(run))
    said = {"layer": url, "bbox": str(box), "connectivity": connectivity, "dust_vx": dust_vx}
    return {**said, "components": found, "chunks": len(leaves), "records": run.url}


def _require_sound(source: Layer, connectivity: int, dust_vx: int, above: float | None) -> None:
    if connectivity not in AXES:
        raise ConfigError(f"--connectivity {connectivity}: choose 6 (faces), 18 (and edges) or 26 (and corners)")
    if dust_vx < 0:
        raise ConfigError(f"--dust-vx {dust_vx}: a voxel count is 0 or more")
    if above is not None and not math.isfinite(above):
        raise ConfigError(f"--above {above}: give a finite number")
    if source.channels != 1 or (above is None and source.dtype.kind not in "ui"):
        raise ConfigError(
            f"{source.where}: holds {source.channels} channels of {source.dtype}; labels are one channel of integers "
            "(an image of one channel takes --above)"
        )


def _box(source: Layer, bbox: BBox | None) -> BBox:
    box = source.bounds if bbox is None else bbox
    if box.empty or not source.bounds.holds(box):
        raise ConfigError(
            f"--bbox {box} must hold a voxel and lie inside the bounds {source.bounds} of {source.where} "
            f"at mip {source.mip}"
        )
    require_coded(box, "bbox")
    return box


def _tiers(leaves: Grid, connectivity: int, dust_vx: int, above: float | None) -> tuple[Tier, ...]:
    tree = {"leaves": tree_field(leaves)}
    joining = {**tree, "connectivity": connectivity, "dust_vx": dust_vx}
    final = {**tree, "rules": vars(Rules.dust_only(dust_vx))}
    first = {**joining, "source": "source", "provisional": "provisional", "above": above}
    last = {**final, "provisional": "provisional", "fragments": "", "segmentation": "out"}
    leaf = zip(leaves.chunk_vx, leaves.bbox.size, strict=True)
    sides = [min(-(-min(c, n) // STORAGE_VX) * STORAGE_VX, RELABEL_VX) for c, n in leaf]
    return (
        Tier("component", "component_leaf", leaves, first),
        *tree_tiers(leaves, Need("component"), ("component_merge", joining), final),
        Tier("relabel", "relabel", Grid(leaves.bbox, vec(sides)), last, (Need("resolve/L1"),), final=True),
    )


def _counted(plan: Plan, ledger: Ledger) -> int:
    """Number of components: each settles in one leaf or node, whose receipt counts it."""
    keys = (key for tier in plan.tiers if tier.stage in TREE for key in tier.keys())
    return sum(int((ledger.receipt(key) or {})["figures"]["components"]) for key in keys)
