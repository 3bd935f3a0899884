"""`emseg stitch RUN --threshold`: the segments of a higher threshold from the merge forest, without a new way up.

The result is a run of its own at RUN/stitches/THRESHOLD-HASH, with its own receipts, whose tasks read the tree of RUN.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

from emseg.pipeline.config import RunConfig
from emseg.pipeline.plan import BASE, RELATIVE, Plan
from emseg.pipeline.planner import Planned, label_spec
from emseg.pipeline.receipts import Ledger
from emseg.pipeline.thresholds import threshold_name
from emseg.pipeline.tier import TREE, Need, Tier
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.arrays.weights import weight_threshold
from emseg.tasks.context import LayerRef
from emseg.tasks.volume.errors import ConfigError, IncompleteError
from emseg.tasks.volume.layer import open_layer
from emseg.tasks.volume.objects import Objects


def rethreshold_plan(base: Plan, run: Objects, threshold: Decimal | None, dust_vx: int | None) -> Planned:
    """The plan of a cut.

    Args:
        base, run: the run whose tree is cut.
        threshold: at least the run's own; None keeps it.
        dust_vx: global size below which segments become 0; None keeps the run's.

    Raises:
        ConfigError: a threshold that the tree does not hold. IncompleteError: the tree is not finished.
    """
    rules = cut_rules(base, threshold, dust_vx)
    require_tree(base, Ledger(run))
    resolve = tuple(resolve_tiers(base, rules, "resolve", "down"))
    relabel = base.tier["relabel"]
    fields = {**relabel.fields, "rules": vars(rules), "fragments": ""}
    pyramid = (t for t in base.tiers if t.kind == "downsample" and t.fields["layer"] == "segmentation")
    tiers = (*resolve, replace(relabel, fields=fields), *pyramid)
    given = open_layer(f"{run.url}/layers/segmentation")
    config = RunConfig.model_validate({**base.config, "run": run.url})
    spec = label_spec(config, relabel.grid.bbox, given.voxel_nm, given.emseg)
    layers = {**base_layers(base), "segmentation": LayerRef("./layers/segmentation")}
    return Planned(Plan(layers, tiers, {"base": base.hash}, base.config, derived=True), {"segmentation": spec})


def derived_url(run: Objects, folder: str, plan: Plan, prefix: str = "") -> str:
    """Where a derived run lies; prefix: of its name, for people."""
    name = "-".join(filter(None, (prefix, plan.hash[:16])))
    return f"{run.url}/{folder}/{name}"


def cut_name(threshold: Decimal | None, dust_vx: int | None) -> str:
    """What a cut is told by: its threshold, its dust, or both."""
    dust = "" if dust_vx is None else f"dust{dust_vx}"
    return "-".join(filter(None, ("" if threshold is None else threshold_name(threshold), dust)))


def base_rules(base: Plan) -> Rules:
    """The rules of a run."""
    return Rules(**base.tier["relabel"].fields["rules"])


def cut_rules(base: Plan, threshold: Decimal | None, dust_vx: int | None) -> Rules:
    """The run's rules with another threshold or dust.

    Raises:
        ConfigError: the threshold is below the run's own.
    """
    rules = base_rules(base)
    w_mean = rules.w_mean if threshold is None else weight_threshold(threshold)
    if w_mean < rules.w_mean:
        own = base.config["stages"]["merge"]["threshold"]
        raise ConfigError(
            f"--threshold {threshold}: this run merged down to {own}, and only a higher threshold is a cut of it; plan "
            f"a run with stages.merge.threshold: {threshold}"
        )
    return replace(rules, w_mean=w_mean, dust_vx=rules.dust_vx if dust_vx is None else dust_vx)


def base_layers(base: Plan) -> dict[str, LayerRef]:
    """The run's layers, as a derived run names them."""
    return {
        name: replace(ref, url=BASE + ref.url.removeprefix(RELATIVE)) if ref.url.startswith(RELATIVE) else ref
        for name, ref in base.layers.items()
    }


def resolve_tiers(base: Plan, rules: Rules, stage: str, down: str) -> Iterator[Tier]:
    """The way down again, under another name and into other tables."""
    for tier in base.tiers:
        if tier.kind in ("resolve", "naming", "gather"):
            needs = tuple(_renamed(need, stage) for need in tier.needs if need.tier.startswith("resolve/"))
            fields: dict[str, Any] = {**tier.fields, "rules": vars(rules), "down": down}
            yield replace(tier, name=f"{stage}/{tier.name.split('/', 1)[1]}", fields=fields, needs=needs)


def _renamed(need: Need, stage: str) -> Need:
    return replace(need, tier=f"{stage}/{need.tier.split('/', 1)[1]}")


def require_tree(base: Plan, ledger: Ledger) -> None:
    """Refuse a run whose tree has no root yet: everything below a root has receipts before it has."""
    root = [tier for tier in base.tiers if tier.stage in TREE][-1]
    for key in root.keys():
        if not ledger.exists(key):
            raise IncompleteError(
                f"{ledger.run.url}: {key} is not done; finish the run first: `emseg run CONFIG` goes on, or, where all "
                "chunks are done, `emseg stitch RUN`"
            )
