"""From run.yaml to a plan: validate everything, decide what is excluded, pin what decides the result, lay the tiers.

Nothing is written before everything is checked. Writing is idempotent, so a planner that died is run again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from emseg.models.spec import ModelSpec
from emseg.pipeline.config import RunConfig
from emseg.pipeline.denoising import Denoising, denoising_of, reach_of
from emseg.pipeline.excluding import Excluded, excluded_of
from emseg.pipeline.plan import Plan, store_plan
from emseg.pipeline.start import Start, start_of
from emseg.pipeline.tier import Need, Tier, require_whole
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.context import LayerRef
from emseg.tasks.volume.bbox import BBox, vec
from emseg.tasks.volume.codes import require_coded
from emseg.tasks.volume.errors import ConfigError
from emseg.tasks.volume.grid import Grid, tree_levels
from emseg.tasks.volume.info import LayerSpec, new_info, parse_scale
from emseg.tasks.volume.layer import create_layer
from emseg.tasks.volume.objects import Objects
from emseg.tasks.volume.url import canonical_url, joined_url

PROVISIONAL_CHUNK_VX = 128  # greatest side of a storage chunk of provisional labels
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

    def stored(self, run_url: str) -> tuple[Objects, bool]:
        """The run directory with everything in it, and whether the plan is new.

        Raises:
            LayerError: the place cannot be written. PlanChangedError: it holds another plan.
        """
        run = Objects(canonical_url(run_url))
        return run, self.store(run)

    def store(self, run: Objects) -> bool:
        """Write plan, models, tables and empty layers; says whether the plan is new."""
        new = store_plan(run, self.plan)
        for key, content in self.objects.items():
            if not run.exists(key):
                run.put(key, content)
        for name, spec in self.specs.items():
            create_layer(joined_url(run.url, "layers", name), spec)
        self.excluded.store(run)
        return new


def plan_run(config: RunConfig) -> Planned:
    """The plan of a run.

    Raises:
        ConfigError, LayerError: the first thing that does not fit; nothing was written.
    """
    start = start_of(config)
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
    objects, warnings = {**start.objects, **denoising.objects}, [*start.warnings, *denoising.warnings]
    return Planned(plan, specs, objects, excluded, start.spec, denoising.spec, warnings)


def _bbox(config: RunConfig, start: Start) -> BBox:
    bbox = BBox.of(*config.bbox) if config.bbox else start.bounds
    if bbox.empty or not start.bounds.holds(bbox):
        raise ConfigError(f"bbox {bbox} must hold a voxel and lie inside the source's bounds {start.bounds} at its mip")
    require_coded(bbox, "bbox")
    return bbox


def _specs(config: RunConfig, start: Start, bbox: BBox) -> dict[str, LayerSpec]:
    storage = vec(config.layers.chunk_vx)
    leaf = config.stages.fragment.chunk_vx
    specs: dict[str, LayerSpec] = {}
    if start.spec is not None:
        specs["affinities"] = LayerSpec(
            "image", "uint8", len(start.spec.offsets), bbox, start.voxel_nm, storage, "raw", "zstd", emseg=start.about
        )
    provisional = vec([_divisor(min(c, n)) for c, n in zip(leaf, bbox.size, strict=True)])
    specs["provisional"] = LayerSpec("segmentation", "uint32", 1, bbox, start.voxel_nm, provisional, "raw", "zstd")
    down = config.stages.downsample
    factors = (vec(down.factor),) * down.mips
    for name in ("fragments", "segmentation"):
        about = {"training": start.training} if start.training else {}
        specs[name] = LayerSpec(
            "segmentation",
            "uint64",
            1,
            bbox,
            start.voxel_nm,
            storage,
            "compressed_segmentation",
            "gzip",
            factors,
            about,
        )
    return specs


def _divisor(side: int) -> int:
    """Greatest divisor of a leaf's side that makes a decent storage chunk."""
    return next(d for d in range(min(side, PROVISIONAL_CHUNK_VX), 0, -1) if side % d == 0)


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
    leaves = Grid(bbox, stages.fragment.chunk_vx)
    rules = vars(rules_of(config))
    tree = {"leaves": {"bbox": {"min": bbox.min, "max": bbox.max}, "chunk_vx": leaves.chunk_vx}, "rules": rules}
    needs = (Need("predict", ONE, ONE),) if start.spec is not None else ()
    own = {"affinities": start.form, "provisional": "provisional", "exclusion": excluded.fields}
    tiers = [Tier("fragment", "fragment", leaves, {**tree, **own}, needs)]
    levels = tree_levels(leaves)
    for level in range(1, levels + 1):
        below = Need("fragment" if level == 1 else f"merge/L{level - 1}")
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
    return Rules.of(decimals[0], decimals[1], stages.merge.min_size_vx, decimals[2], stages.relabel.dust_vx)
