"""From run.yaml to a plan: validate everything, decide what is excluded, pin what decides the result, lay the tiers.

Nothing is written before everything is checked. The plan is written last and writing is idempotent, so a planner that
died is run again, and a directory that holds a plan holds all that its tasks need.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from emseg.models.spec import ModelSpec
from emseg.pipeline.config import RunConfig
from emseg.pipeline.costs import Price, Voxel, price_of
from emseg.pipeline.excluding import Excluded, excluded_of
from emseg.pipeline.plan import Plan, is_stored, store_plan
from emseg.pipeline.recommended import with_recommended
from emseg.pipeline.start import Start, start_of
from emseg.pipeline.tier import Need, Tier
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.arrays.weights import TOP, weight_threshold
from emseg.tasks.context import LayerRef
from emseg.tasks.volume.bbox import BBox, Vec, vec
from emseg.tasks.volume.codes import require_coded
from emseg.tasks.volume.errors import ConfigError
from emseg.tasks.volume.grid import Grid, tree_levels
from emseg.tasks.volume.info import LayerSpec, VoxelNm, new_info, parse_scale
from emseg.tasks.volume.layer import create_layer
from emseg.tasks.volume.objects import Objects
from emseg.tasks.volume.url import canonical_url, joined_url

PROVISIONAL_CHUNK_VX = (32, 128)  # sides of a storage chunk of provisional labels; a leaf that none divides is one
ONE = (1, 1, 1)


@dataclass
class Planned:
    """A plan and what goes with it: layers to create, objects to keep in the run directory, warnings."""

    plan: Plan
    specs: dict[str, LayerSpec] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    excluded: Excluded = field(default_factory=Excluded)
    model: ModelSpec | None = None
    warnings: list[str] = field(default_factory=list)
    source: Voxel = field(default_factory=Voxel)

    def price(self) -> Price:
        """What it will cost."""
        cells = {s.name: s.spec for s in self.excluded.sources}
        return price_of(self.plan, {**self.specs, **cells}, self.model, self.source)

    def stored(self, run_url: str) -> tuple[Objects, bool]:
        """The run directory with everything in it, and whether the plan is new.

        Raises:
            LayerError: the place cannot be written. PlanChangedError: it holds another plan.
        """
        run = Objects(canonical_url(run_url))
        return run, self.store(run)

    def store(self, run: Objects) -> bool:
        """Write models, tables, layers and, last, the plan; says whether it is new. A known plan's cells stand."""
        if run.exists("info"):
            raise ConfigError(f"{run.where('')} is a layer; a run needs a place of its own")
        known = is_stored(run, self.plan)
        for key, content in self.objects.items():
            if not run.exists(key):
                run.put(key, content)
        for name, spec in self.specs.items():
            create_layer(joined_url(run.url, "layers", name), spec)
        if known:
            return False
        self.excluded.store(run)
        return store_plan(run, self.plan)


def plan_run(config: RunConfig) -> Planned:
    """The plan of a run.

    Raises:
        ConfigError, LayerError: the first thing that does not fit; nothing was written.
    """
    start = start_of(config)
    if start.spec is not None:
        config = with_recommended(config, start.spec)
    bbox = _bbox(config, start)
    excluded = excluded_of(config, bbox, start.voxel_nm)
    specs = _specs(config, start, bbox)
    tiers = (*_predict(config, start, bbox, excluded), *_stitch(config, start, bbox, excluded))
    tiers += tuple(_pyramid(config, specs))
    layers = {
        **start.layers,
        **excluded.refs,
        **{name: LayerRef(f"./layers/{name}") for name in specs},
    }
    pins = {**start.pins, **excluded.pins}
    shown = config.model_dump(mode="json", exclude={"run", "engine"})
    plan = Plan(layers, tiers, pins, shown)
    return Planned(plan, specs, dict(start.objects), excluded, start.spec, list(start.warnings), start.voxel)


def _bbox(config: RunConfig, start: Start) -> BBox:
    bbox = BBox.of(*config.bbox) if config.bbox else start.bounds
    if bbox.empty or not start.bounds.holds(bbox):
        raise ConfigError(f"bbox {bbox} must hold a voxel and lie inside the source's bounds {start.bounds} at its mip")
    require_coded(bbox, "bbox")
    return bbox


def _require_whole(name: str, chunk_vx: Vec, storage_vx: Vec, size: Vec) -> None:
    if any(c % s and c < n for c, s, n in zip(chunk_vx, storage_vx, size, strict=True)):
        nearest = [max(1, round(c / s)) * s for c, s in zip(chunk_vx, storage_vx, strict=True)]
        raise ConfigError(
            f"stages.{name}.chunk_vx {list(chunk_vx)} is no whole number of storage chunks "
            f"(layers.chunk_vx {list(storage_vx)}); use {nearest}"
        )


def _specs(config: RunConfig, start: Start, bbox: BBox) -> dict[str, LayerSpec]:
    storage = vec(config.layers.chunk_vx)
    leaf = config.stages.fragment.chunk_vx if start.chunks is None else start.chunks.grid.chunk_vx
    specs: dict[str, LayerSpec] = {}
    if start.spec is not None:
        specs["affinities"] = LayerSpec(
            "image", "uint8", len(start.spec.offsets), bbox, start.voxel_nm, storage, "raw", "zstd", emseg=start.about
        )
    provisional = vec([_divisor(min(c, n)) for c, n in zip(leaf, bbox.size, strict=True)])
    labelled = bbox if start.chunks is None else start.chunks.provisional_box(provisional)
    specs["provisional"] = LayerSpec("segmentation", "uint32", 1, labelled, start.voxel_nm, provisional, "raw", "zstd")
    about = {"training": start.training} if start.training else {}
    specs["fragments"] = specs["segmentation"] = label_spec(config, bbox, start.voxel_nm, about)
    return specs


def label_spec(config: RunConfig, bbox: BBox, voxel_nm: VoxelNm, about: Mapping[str, Any]) -> LayerSpec:
    """How final labels are stored."""
    down, storage = config.stages.downsample, vec(config.layers.chunk_vx)
    factors = (vec(down.factor),) * down.mips
    form = ("compressed_segmentation", "gzip")
    return LayerSpec("segmentation", "uint64", 1, bbox, voxel_nm, storage, *form, factors, about)


def _divisor(side: int) -> int:
    """Side of a storage chunk that a leaf of this side holds a whole number of."""
    least, greatest = PROVISIONAL_CHUNK_VX
    return next((d for d in range(min(side, greatest), least - 1, -1) if side % d == 0), side)


def _predict(config: RunConfig, start: Start, bbox: BBox, excluded: Excluded) -> tuple[Tier, ...]:
    if start.spec is None:
        return ()
    stage = config.stages.predict
    _require_whole("predict", stage.chunk_vx, config.layers.chunk_vx, bbox.size)
    fields = {
        "source": "source",
        "out": "affinities",
        "model": start.pins["model"],
        "batch": stage.batch,
        "threads": stage.threads_per_process,
        "precision": stage.precision,
        "device": stage.device,
        "tta": stage.tta,
        "levels": start.pins.get("levels", ""),
        "exclusion": excluded.fields,
    }
    task_class = "gpu" if stage.device == "cuda" else "cpu"
    return (Tier("predict", "predict", Grid(bbox, stage.chunk_vx), fields, (), task_class),)


def _stitch(config: RunConfig, start: Start, bbox: BBox, excluded: Excluded) -> tuple[Tier, ...]:
    stages = config.stages
    _require_whole("relabel", stages.relabel.chunk_vx, config.layers.chunk_vx, bbox.size)
    leaves = Grid(bbox, stages.fragment.chunk_vx) if start.chunks is None else start.chunks.grid
    rules = vars(rules_of(config))
    shape = {"bbox": {"min": bbox.min, "max": bbox.max}, "chunk_vx": leaves.chunk_vx}
    tree = {"leaves": {**shape, "overlap_vx": leaves.overlap_vx} if start.chunks else shape, "rules": rules}
    needs = (Need("predict", ONE, ONE),) if start.spec is not None else ()
    own = {"affinities": start.form, "provisional": "provisional", "exclusion": excluded.fields}
    own |= {"given": start.given} if start.given else {}
    tiers = [Tier("fragment", "fragment", leaves, {**tree, **own}, needs)]
    if start.chunks is not None:
        tiers = start.chunks.tiers(tree, excluded.fields)
    levels = tree_levels(leaves)
    for level in range(1, levels + 1):
        below = Need(tiers[-1].name)
        fields = {**tree, "level": level}
        tiers.append(Tier(f"merge/L{level}", "merge", leaves.scaled(2**level), fields, (below,), "big"))
    for level in range(levels, 0, -1):
        above = (Need(f"resolve/L{level + 1}"),) if level < levels else ()
        fields = {**tree, "level": level, "levels": levels}
        grid = leaves.scaled(2**level)
        tiers.append(
            Tier(f"resolve/L{level}", "resolve", grid, fields, (Need(f"merge/L{level}"), *above), "big", final=True)
        )
    final = {**tree, "provisional": "provisional", "fragments": "fragments", "segmentation": "segmentation"}
    grid = Grid(bbox, stages.relabel.chunk_vx)
    tiers.append(Tier("relabel", "relabel", grid, final, (Need("resolve/L1"),), final=True))
    tiers += [start.chunks.conflict_tier(tree)] if start.chunks is not None else []
    return tuple(tiers)


def _pyramid(config: RunConfig, specs: dict[str, LayerSpec]) -> list[Tier]:
    factor = vec(config.stages.downsample.factor)
    tiers = []
    for mip in range(1, config.stages.downsample.mips + 1):
        for name in ("fragments", "segmentation"):
            scale = parse_scale(new_info(specs[name]), mip, name)
            below = "relabel" if mip == 1 else f"downsample/{name}-{mip - 1}"
            fields = {"layer": name, "mip": mip, "factor": factor}
            tiers.append(
                Tier(
                    f"downsample/{name}-{mip}",
                    "downsample",
                    Grid(scale.bounds, config.stages.relabel.chunk_vx),
                    fields,
                    (Need(below, factor=factor),),
                    final=True,
                )
            )
    return tiers


def rules_of(config: RunConfig) -> Rules:
    """The rules of stitching, as integers."""
    stages = config.stages
    decimals: list[Decimal] = [stages.fragment.t_low, stages.fragment.t_high, stages.merge.threshold]
    merge = stages.merge
    if config.instances is not None:  # rows are scores of matched pairs, and nothing but they decide
        return Rules(1, TOP, 0, weight_threshold(merge.threshold), stages.relabel.dust_vx, "max")
    return Rules.of(decimals[0], decimals[1], merge.min_size_vx, decimals[2], stages.relabel.dust_vx, merge.linkage)
