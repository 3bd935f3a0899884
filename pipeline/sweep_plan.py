"""`emseg stitch RUN --sweep TRUTH`: VI and adapted Rand over thresholds, of the merge forest; no volume is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from emseg.pipeline.evaluate import common_box, require_comparable, seen_or_refused
from emseg.pipeline.plan import Plan
from emseg.pipeline.receipts import Ledger
from emseg.pipeline.rethreshold import base_layers, base_rules, cut_rules, require_tree, resolve_tiers
from emseg.pipeline.thresholds import threshold_name
from emseg.pipeline.tier import Need, Tier
from emseg.tasks.arrays.contingency import Contingency, summed
from emseg.tasks.arrays.scores import scores
from emseg.tasks.context import LayerRef
from emseg.tasks.tally import down_folder, tally_key
from emseg.tasks.volume.layer import open_layer
from emseg.tasks.volume.limits import TABLE_BYTES
from emseg.tasks.volume.objects import Objects
from emseg.tasks.volume.table import decode_table
from emseg.tasks.volume.url import canonical_url

STEP = Decimal("0.05")


def usual_thresholds(base: Plan) -> list[Decimal]:
    """The run's own threshold, and every multiple of 0.05 above it."""
    own = Decimal(base.config["stages"]["merge"]["threshold"])
    return [own, *(STEP * i for i in range(1, 20) if STEP * i > own)]


def sweep_plan(base: Plan, run: Objects, truth: str, thresholds: Sequence[Decimal], allow_seen: bool) -> Plan:
    """A derived plan: the way down once a threshold, then one pass over the labels of every leaf.

    Raises:
        ConfigError: a threshold below the run's own, or a truth that does not fit or was seen.
        IncompleteError: the tree is not finished.
    """
    require_tree(base, Ledger(run))
    rules = base_rules(base)
    cuts = {cut_rules(base, t, None).w_mean: f"resolve-{threshold_name(t)}" for t in thresholds}
    segmentation, layer = open_layer(f"{run.url}/layers/segmentation"), open_layer(truth)
    require_comparable(segmentation, layer)
    box = common_box(segmentation, layer, None)
    seen_or_refused(segmentation, layer, box, allow_seen)
    tiers: list[Tier] = []
    for w_mean, stage in cuts.items():
        tiers += resolve_tiers(base, replace(rules, w_mean=w_mean), stage, down_folder(w_mean))
    fields: dict[str, Any] = {
        "leaves": base.tier["relabel"].fields["leaves"],
        "rules": vars(rules),
        "cuts": list(cuts),
        "provisional": "provisional",
        "truth": "truth",
        "box": {"min": box.min, "max": box.max},
    }
    needs = tuple(Need(f"{stage}/L1") for stage in cuts.values())
    tiers.append(Tier("tally", "tally", base.tier["fragment"].grid, fields, needs))
    layers = {**base_layers(base), "truth": LayerRef(canonical_url(truth))}
    return Plan(layers, tuple(tiers), {"base": base.hash}, base.config, derived=True)


def sweep_rows(plan: Plan, run: Objects, base: Plan, thresholds: Sequence[Decimal]) -> list[dict[str, Any]]:
    """Scores by threshold, of a finished sweep."""
    rows = []
    for threshold in thresholds:
        result = scores(summed(_tables(plan, run, cut_rules(base, threshold, None).w_mean)), "segment")
        names = ("vi_split", "vi_merge", "adapted_rand_error")
        rows.append({"threshold": str(threshold), **{name: getattr(result, name) for name in names}})
    return rows


def _tables(plan: Plan, run: Objects, w_mean: int) -> Iterator[Contingency]:
    for key in plan.tier["tally"].keys():
        where = tally_key(key, w_mean)
        columns = decode_table(run.require(where, TABLE_BYTES), run.where(where))
        yield Contingency(columns["seg"], columns["gt"], columns["count"])
