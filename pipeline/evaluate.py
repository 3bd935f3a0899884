"""`emseg evaluate`: VI and adapted Rand of a segmentation against truth, in chunks, equal to the whole to the last bit.

A box that overlaps what a model was trained or tuned on is refused, or marked. A segmentation's `info` says in
`emseg.training` what its model has seen: a list of {"name", "sha256", "part", "bbox"}; an ingested truth says in
`emseg.ingested` which file it came from: {"file", "sha256", "dataset", "offset"}. The files are compared by sha256;
"bbox" is in voxels of that file, "offset" in voxels of mip 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from emseg.pipeline.plan import Plan, load_plan
from emseg.pipeline.receipts import Ledger
from emseg.pipeline.runner import Watch
from emseg.pipeline.small import records_at, run_small
from emseg.pipeline.tier import Tier
from emseg.tasks.arrays.contingency import Contingency, summed
from emseg.tasks.arrays.scores import scores
from emseg.tasks.context import LayerRef
from emseg.tasks.score import table_key
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import ConfigError, IncompleteError, LayerError
from emseg.tasks.volume.grid import Grid
from emseg.tasks.volume.layer import Layer, open_layer
from emseg.tasks.volume.limits import TABLE_BYTES
from emseg.tasks.volume.objects import Objects
from emseg.tasks.volume.table import decode_table
from emseg.tasks.volume.url import canonical_url

CHUNK_VX = (256, 256, 256)


def evaluate(
    seg: str,
    gt: str,
    *,
    bbox: BBox | None = None,
    background: str = "segment",
    mip: int = 0,
    workers: int = 1,
    allow_seen: bool = False,
    records: str = "",
    watch: Watch = lambda tally: None,
) -> dict[str, Any]:
    """Score a segmentation.

    Args:
        seg, gt: label layers in the same voxel coordinates; truth 0 is left out.
        bbox: where; default: the intersection of both layers' bounds.
        background: what predicted 0 is: 'segment', 'ignore' or 'singletons'.
        mip: of both layers.
        workers: processes.
        allow_seen: score data that the model has seen, and mark the result.
        records: folder that keeps the tables, so that a stopped evaluation goes on; default: a temporary one.

    Returns:
        vi_split, vi_merge (bits), adapted_rand_error, precision, recall, voxels, bbox, convention, seen.

    Raises:
        ConfigError: the layers do not fit each other, share no labelled voxel, or the model has seen the box.
    """
    if background not in ("segment", "ignore", "singletons"):
        raise ConfigError(f"--background {background!r}: choose segment, ignore or singletons")
    kind: Literal["segment", "ignore", "singletons"] = background  # type: ignore[assignment]
    segmentation, truth = open_layer(seg, mip), open_layer(gt, mip)
    require_comparable(segmentation, truth)
    box = common_box(segmentation, truth, bbox)
    seen = seen_or_refused(segmentation, truth, box, allow_seen)
    plan = _plan(seg, gt, mip, box)
    with records_at(records) as place:
        run = run_small(plan, place, workers, watch)
        result = scores(summed(_tables(plan, run)), kind)
    values = {k: getattr(result, k) for k in ("vi_split", "vi_merge", "adapted_rand_error", "precision", "recall")}
    return {**values, "voxels": result.voxels, "bbox": str(box), "convention": result.convention, "seen": seen}


def require_finished(run_url: str) -> None:
    """Refuse a run whose segmentation is not all written.

    Raises:
        IncompleteError: says how far it is.
    """
    run = Objects(run_url)
    plan, ledger = load_plan(run), Ledger(run)
    if "relabel" not in plan.tier:
        raise ConfigError(f"{run.url} writes no segmentation; give a run that does, or a label layer")
    planned, done = len(plan.tier["relabel"].grid), sum(1 for _ in ledger.receipts("relabel"))
    if done < planned:
        raise IncompleteError(
            f"{run.url} is not finished: {done} of {planned} chunks of its segmentation are written; see `emseg status`"
        )


def require_comparable(segmentation: Layer, truth: Layer) -> None:
    """Refuse layers that are no labels, or of unlike voxels."""
    for layer in (segmentation, truth):
        kind = layer.info.get("type")
        if layer.channels != 1 or layer.dtype.kind not in "ui" or kind != "segmentation":
            raise ConfigError(
                f"{layer.where}: is an {kind} of {layer.channels} channels of {layer.dtype}; labels are integers of "
                "type segmentation (ingest them with --kind segmentation)"
            )
    if not np.allclose(segmentation.voxel_nm, truth.voxel_nm, rtol=1e-3, atol=0):
        raise ConfigError(
            f"{segmentation.where} has voxels of {list(segmentation.voxel_nm)} nm, {truth.where} of "
            f"{list(truth.voxel_nm)}; choose a mip that both have, or ingest the truth with the right voxel size"
        )


def common_box(segmentation: Layer, truth: Layer, bbox: BBox | None) -> BBox:
    """Where both are, or the part of it that is asked for."""
    common = segmentation.bounds.clipped(truth.bounds)
    if common.empty:
        raise ConfigError(
            f"nothing to score: the segmentation {segmentation.bounds} and the truth {truth.bounds} do not meet; "
            "ingest the truth with the right --offset"
        )
    box = common if bbox is None else bbox
    if box.empty or not common.holds(box):
        raise ConfigError(
            f"--bbox {box}: reaches beyond {common}, which segmentation and truth share; choose a box inside"
        )
    return box


def seen_or_refused(segmentation: Layer, truth: Layer, box: BBox, allow_seen: bool) -> str:
    """What of the box the segmentation's model has seen, '' if nothing that we know of; refused unless allowed."""
    seen = _seen(segmentation, truth, box)
    if seen and not allow_seen:
        raise ConfigError(
            f"{segmentation.where}: its model has seen this truth ({seen}); score another box, or mark the result with "
            "--allow-seen"
        )
    return seen


def _plan(seg: str, gt: str, mip: int, box: BBox) -> Plan:
    layers = {
        "segmentation": LayerRef(canonical_url(seg), mip),
        "truth": LayerRef(canonical_url(gt), mip),
    }
    fields = {"segmentation": "segmentation", "truth": "truth"}
    return Plan(layers, (Tier("score", "score", Grid(box, CHUNK_VX), fields),))


def _tables(plan: Plan, run: Objects) -> Iterator[Contingency]:
    for key in plan.keys():
        where = table_key(key)
        columns = decode_table(run.require(where, TABLE_BYTES), run.where(where))
        yield Contingency(columns["seg"], columns["gt"], columns["count"])


def _seen(segmentation: Layer, truth: Layer, box: BBox) -> str:
    """What of the box a model has seen, '' if nothing that we know of."""
    source = truth.emseg.get("ingested") or {}
    digest, finest = source.get("sha256"), _at_mip_0(truth, box)
    try:
        for item in segmentation.emseg.get("training", ()):
            known = BBox.of(*item["bbox"]).shifted(source.get("offset", (0, 0, 0)))
            if digest and item["sha256"] == digest and known.meets(finest):
                return f"{item['part']} box {known} of {item['name']}"
    except (KeyError, TypeError, ValueError) as error:
        raise LayerError(
            f"{segmentation.where}: emseg.training in its info cannot be read ({error}); mend it"
        ) from None
    return ""


def _at_mip_0(layer: Layer, box: BBox) -> BBox:
    factor = [round(a / b) for a, b in zip(layer.voxel_nm, layer.at(0).voxel_nm, strict=True)]
    low, high = ([v * f for v, f in zip(corner, factor, strict=True)] for corner in box)
    return BBox.of(low, high)
