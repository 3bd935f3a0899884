"""From run.yaml to a plan: validate everything, decide what is excluded, pin what decides the result, lay the tiers.

Nothing is written before everything is checked. The plan is written last and writing is idempotent, so a planner that
died is run again, and a directory that holds a plan holds all that its tasks need.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from emseg.models.spec import ModelSpec
from emseg.pipeline.config import RunConfig
from emseg.pipeline.costs import Price, Voxel, price_of
from emseg.pipeline.denoising import Denoising, denoising_of, reach_of
from emseg.pipeline.excluding import Excluded, excluded_of
from emseg.pipeline.node_memory import rounds_of
from emseg.pipeline.plan import Plan, is_stored, store_plan
from emseg.pipeline.recommended import with_recommended
from emseg.pipeline.start import Start, start_of
from emseg.pipeline.tier import Need, Tier, require_whole
from emseg.pipeline.tree import provisional_spec, tree_field
from emseg.pipeline.tree_tiers import down_tiers, up_tiers
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.arrays.weights import TOP, weight_threshold
from emseg.tasks.context import LayerRef
from emseg.tasks.volume.bbox import BBox, vec
from emseg.tasks.volume.codes import require_coded
from emseg.tasks.volume.errors import ConfigError
from emseg.tasks.volume.grid import Grid
from emseg.tasks.volume.info import LayerSpec, VoxelNm, new_info, parse_scale
from emseg.tasks.volume.layer import create_layer
from emseg.tasks.volume.objects import Objects
from emseg.tasks.volume.tree import Tree
from emseg.tasks.volume.url import canonical_url, is_below, joined_url, redacted

ONE = (1, 1, 1)


@dataclass
class Planned:
    """A plan and what goes with it: layers to create, objects to keep in the run directory, warnings."""

    plan: Plan
    specs: dict[str, LayerSpec] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    excluded: Excluded = field(default_factory=Excluded)
    model: ModelSpec | None = None
    denoiser: ModelSpec | None = None
    warnings: list[str] = field(default_factory=list)
    source: Voxel = field(default_factory=Voxel)

    def price(self) -> Price:
        """What it will cost."""
        cells = {s.name: s.spec for s in self.excluded.sources}
        return price_of(self.plan, {**self.specs, **cells}, self.model, self.source, self.denoiser)

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
    _require_apart(config, start.layers)
    if start.spec is not None:
        config = with_recommended(config, start.spec)
    bbox = _bbox(config, start)
    excluded = excluded_of(config, bbox, start.voxel_nm)
    denoising = denoising_of(config, start, bbox)
    specs = {**denoising.specs, **_specs(config, start, bbox)}
    predict = _predict(config, start, bbox, excluded, denoising)
    tiers = (*denoising.tiers, *predict, *_stitch(config, start, bbox, excluded))
    tiers += tuple(_pyramid(config, specs))
    layers = {
        **start.layers,
        **excluded.refs,
        **{name: LayerRef(f"./layers/{name}") for name in specs},
    }
    pins = {**start.pins, **denoising.pins, **excluded.pins}
    shown = config.model_dump(mode="json", exclude={"run", "engine"})
    plan = Plan(layers, tiers, pins, shown)
    objects = {**start.objects, **denoising.objects}
    warnings = [*start.warnings, *denoising.warnings, *excluded.warnings]
    return Planned(plan, specs, objects, excluded, start.spec, denoising.spec, warnings, start.voxel)


def _require_apart(config: RunConfig, layers: Mapping[str, LayerRef]) -> None:
    """Refuse a run directory in a layer that the run reads, and such a layer among those that it writes."""
    run = canonical_url(config.run)
    mask = [canonical_url(config.mask.layer)] if config.mask is not None else []
    for url in [*(ref.url for ref in layers.values()), *mask]:
        if is_below(run, url) or is_below(url, joined_url(run, "layers")):
            raise ConfigError(
                f"run: {redacted(run)} would write into what it reads, {redacted(url)}; give run: a folder of its own"
            )


def _bbox(config: RunConfig, start: Start) -> BBox:
    bbox = BBox.of(*config.bbox) if config.bbox else start.bounds
    if bbox.empty or not start.bounds.holds(bbox):
        raise ConfigError(f"bbox {bbox} must hold a voxel and lie inside the source's bounds {start.bounds} at its mip")
    require_coded(bbox, "bbox")
    return bbox


def _specs(config: RunConfig, start: Start, bbox: BBox) -> dict[str, LayerSpec]:
    storage = vec(config.layers.chunk_vx)
    specs: dict[str, LayerSpec] = {}
    if start.spec is not None:
        specs["affinities"] = LayerSpec(
            "image", "uint8", len(start.spec.offsets), bbox, start.voxel_nm, storage, "raw", "zstd", emseg=start.about
        )
    provisional = provisional_spec(_tree(config, start, bbox).leaves, start.voxel_nm)
    if start.chunks is not None:
        provisional = replace(provisional, bbox=start.chunks.provisional_box(provisional.chunk_vx))
    specs["provisional"] = provisional
    about = {"training": start.training} if start.training else {}
    specs["fragments"] = specs["segmentation"] = label_spec(config, bbox, start.voxel_nm, about)
    return specs


def _tree(config: RunConfig, start: Start, bbox: BBox) -> Tree:
    fan_out = config.stages.merge.fan_out
    if start.chunks is None:
        return Tree(bbox, vec(config.stages.fragment.chunk_vx), fan_out)
    return Tree(bbox, start.chunks.grid.chunk_vx, fan_out, start.chunks.grid.overlap_vx)


def label_spec(config: RunConfig, bbox: BBox, voxel_nm: VoxelNm, about: Mapping[str, Any]) -> LayerSpec:
    """How final labels are stored."""
    down, storage = config.stages.downsample, vec(config.layers.chunk_vx)
    factors = (vec(down.factor),) * down.mips
    form = ("compressed_segmentation", "gzip")
    return LayerSpec("segmentation", "uint64", 1, bbox, voxel_nm, storage, *form, factors, about)


def _predict(config: RunConfig, start: Start, bbox: BBox, excluded: Excluded, denoising: Denoising) -> tuple[Tier, ...]:
    if start.spec is None:
        return ()
    stage = config.stages.predict
    require_whole("predict", stage.chunk_vx, config.layers.chunk_vx, bbox.size)
    fields = {
        "source": denoising.layer,
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
    pad = reach_of(start.spec)
    needs = (Need("denoise", pad, pad),) if denoising.tiers else ()
    return (Tier("predict", "predict", Grid(bbox, stage.chunk_vx), fields, needs, task_class),)


def _stitch(config: RunConfig, start: Start, bbox: BBox, excluded: Excluded) -> tuple[Tier, ...]:
    stages = config.stages
    require_whole("relabel", stages.relabel.chunk_vx, config.layers.chunk_vx, bbox.size)
    tree = _tree(config, start, bbox)
    rounds = rounds_of(tree, stages.merge)
    shared = {"leaves": tree_field(tree), "rules": vars(rules_of(config))}
    needs = (Need("predict", ONE, ONE),) if start.spec is not None else ()
    own = {"affinities": start.form, "provisional": "provisional", "exclusion": excluded.fields}
    own |= {"given": start.given} if start.given else {}
    tiers = [Tier("fragment", "fragment", tree.leaves, {**shared, **own}, needs)]
    if start.chunks is not None:
        tiers = start.chunks.tiers(shared, excluded.fields)
    tiers += up_tiers(tree, Need(tiers[-1].name), "merge", shared, rounds)
    tiers += down_tiers(tree, shared, rounds)
    final = {**shared, "provisional": "provisional", "fragments": "fragments", "segmentation": "segmentation"}
    grid = Grid(bbox, stages.relabel.chunk_vx)
    tiers.append(Tier("relabel", "relabel", grid, final, (Need("resolve/L1"),), final=True))
    tiers += [start.chunks.conflict_tier(shared)] if start.chunks is not None else []
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
