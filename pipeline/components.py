"""`emseg components`: connected components of a label layer or a thresholded image over chunks, exact for any grid."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from emseg.pipeline.plan import Plan
from emseg.pipeline.receipts import Ledger
from emseg.pipeline.runner import Watch
from emseg.pipeline.small import run_small
from emseg.pipeline.tier import Need, Tier
from emseg.pipeline.tree import provisional_spec, tree_field
from emseg.pipeline.tree_tiers import down_tiers, up_tiers
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
from emseg.tasks.volume.tree import Tree
from emseg.tasks.volume.url import canonical_url, joined_url

STORAGE_VX = 64
RELABEL_VX = 512  # greatest side of a chunk of the output
GREY = ("uint8", "uint16")  # of a layer that calls itself an image: grey levels, no labels
TREE = ("component", "merge")  # stages where components settle


@dataclass(frozen=True)
class ComponentRules:
    """What is one component.

    connectivity: 6 (voxels that share a face), 18 (and an edge) or 26 (and a corner).
    dust_vx: components of fewer voxels, in all chunks together, become 0.
    above: voxels of an image above this value are foreground; None: voxels of one label belong together.
    """

    connectivity: int = 26
    dust_vx: int = 0
    above: float | None = None

    def __post_init__(self) -> None:
        if self.connectivity not in AXES:
            raise ConfigError(
                f"--connectivity {self.connectivity}: choose 6 (faces), 18 (and edges) or 26 (and corners)"
            )
        if self.dust_vx < 0:
            raise ConfigError(f"--dust-vx {self.dust_vx}: a voxel count is 0 or more")
        if self.above is not None and not math.isfinite(self.above):
            raise ConfigError(f"--above {self.above}: give a finite number")


def connected_components(
    labels: str,
    out: str,
    rules: ComponentRules,
    *,
    chunk_vx: Vec = (256, 256, 256),
    bbox: BBox | None = None,
    mip: int = 0,
    records: str = "",
    workers: int = 1,
    watch: Watch = lambda tally: None,
) -> dict[str, Any]:
    """Write the components of a layer as a uint64 segmentation; id = 1 + code of the least voxel.

    Args:
        labels: layer of integers, 0 background; or of an image, if `rules` say above what.
        out: the layer to make.
        rules: what is one component.
        chunk_vx: a leaf of the tree; it never shows in the result.
        bbox: where, at `mip`; default: the whole layer.
        mip: of `labels`.
        records: folder for records and provisional labels, so that what was stopped goes on; default: OUT.components.
        workers: processes.

    Returns:
        layer, bbox, connectivity, dust_vx, above, components (their number), chunks, records.

    Raises:
        ConfigError, LayerError: something does not fit, an image without `above` too; nothing was written.
        TaskFailedError: tasks failed for good.
    """
    source = open_layer(labels, mip)
    _require_readable(source, rules)
    leaves = Grid(_box(source, bbox), chunk_vx)
    url = canonical_url(out)
    place = canonical_url(records) if records else url + ".components"
    layers = {
        "source": LayerRef(canonical_url(labels), mip),
        "provisional": LayerRef("./layers/provisional"),
        "out": LayerRef(url),
    }
    plan = Plan(layers, _tiers(leaves, rules), {"source": json_digest(dict(source.info))})
    specs = {
        url: _spec(source, leaves.bbox, rules),
        joined_url(place, "layers", "provisional"): provisional_spec(leaves, source.voxel_nm),
    }
    run = run_small(plan, place, workers, watch, specs)
    said = {"layer": url, "bbox": str(leaves.bbox), **asdict(rules)}
    return {**said, "components": _counted(plan, Ledger(run)), "chunks": len(leaves), "records": run.url}


def _require_readable(source: Layer, rules: ComponentRules) -> None:
    if source.channels != 1 or (rules.above is None and source.dtype.kind not in "ui"):
        raise ConfigError(
            f"{source.where}: holds {source.channels} channels of {source.dtype}; labels are one channel of integers "
            "(an image of one channel takes --above)"
        )
    if rules.above is None and source.info.get("type") == "image" and source.dtype.name in GREY:
        raise ConfigError(
            f"{source.where}: is an image of {source.dtype}: give --above, the value that foreground lies above; if it "
            "holds labels, make it a segmentation (type in its info, or `emseg ingest --kind segmentation`)"
        )


def _spec(source: Layer, box: BBox, rules: ComponentRules) -> LayerSpec:
    about = {"components": asdict(rules)}
    storage = (STORAGE_VX,) * 3
    return LayerSpec("segmentation", "uint64", 1, box, source.voxel_nm, storage, "compressed_segmentation", emseg=about)


def _box(source: Layer, bbox: BBox | None) -> BBox:
    box = source.bounds if bbox is None else bbox
    if box.empty or not source.bounds.holds(box):
        raise ConfigError(
            f"--bbox {box} must hold a voxel and lie inside the bounds {source.bounds} of {source.where} "
            f"at mip {source.mip}"
        )
    require_coded(box, "bbox")
    return box


def _tiers(leaves: Grid, rules: ComponentRules) -> tuple[Tier, ...]:
    shape = Tree(leaves.bbox, leaves.chunk_vx)
    tree = {"leaves": tree_field(shape)}
    joining = {**tree, "connectivity": rules.connectivity, "dust_vx": rules.dust_vx}
    final = {**tree, "rules": vars(Rules.dust_only(rules.dust_vx))}
    first = {**joining, "source": "source", "provisional": "provisional", "above": rules.above}
    last = {**final, "provisional": "provisional", "fragments": "", "segmentation": "out"}
    leaf = zip(leaves.chunk_vx, leaves.bbox.size, strict=True)
    sides = [min(-(-min(c, n) // STORAGE_VX) * STORAGE_VX, RELABEL_VX) for c, n in leaf]
    return (
        Tier("component", "component_leaf", leaves, first),
        *up_tiers(shape, Need("component"), "component_merge", joining),
        *down_tiers(shape, final),
        Tier("relabel", "relabel", Grid(leaves.bbox, vec(sides)), last, (Need("resolve/L1"),), final=True),
    )


def _counted(plan: Plan, ledger: Ledger) -> int:
    """Number of components: each settles in one leaf or node, whose receipt counts it."""
    keys = (key for tier in plan.tiers if tier.stage in TREE for key in tier.keys())
    return sum(int((ledger.receipt(key) or {})["figures"]["components"]) for key in keys)
