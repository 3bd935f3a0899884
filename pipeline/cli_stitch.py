"""`emseg stitch`: finish a run, cut it at a higher threshold, sweep thresholds against a truth, audit its tree."""

from __future__ import annotations

import time
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import typer

from emseg.pipeline.cli_run import AsJson, Dask, RunUrl, Workers, engine_from, finished_lines, opened_run
from emseg.pipeline.config import Engine
from emseg.pipeline.derived import require_labels, require_own_tree
from emseg.pipeline.output import say, told_when_stopped
from emseg.pipeline.plan import Plan, store_plan
from emseg.pipeline.progress import bars
from emseg.pipeline.runner import run_plan
from emseg.pipeline.runner import stitch as finish
from emseg.tasks.volume.errors import ConfigError
from emseg.tasks.volume.objects import Objects

DECIMALS = 6  # of a threshold: weights have 16 bits


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="stitch")(stitch)


@told_when_stopped()
def stitch(
    run_url: RunUrl,
    threshold: Annotated[str, typer.Option(help="cut the finished run at this higher threshold")] = "",
    dust_vx: Annotated[int, typer.Option(min=-1, help="with --threshold: least segment; -1: as the run")] = -1,
    sweep: Annotated[str, typer.Option(help="truth layer: score thresholds against it, write no labels")] = "",
    thresholds: Annotated[str, typer.Option(help="of --sweep, comma-separated; default: every 0.05")] = "",
    allow_seen: Annotated[bool, typer.Option("--allow-seen", help="sweep data the model was trained on")] = False,
    verify: Annotated[int, typer.Option(min=0, help="make so many random tree nodes again over other grids")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="of --verify")] = 0,
    workers: Workers = 0,
    dask: Dask = "",
    as_json: AsJson = False,
) -> None:
    """Finish a run whose chunks are done: the tree, final ids, labels, coarser mips. Or work on a finished one."""
    if sum(map(bool, (threshold or dust_vx >= 0, sweep, verify))) > 1:
        raise ConfigError("give one of --threshold (with --dust-vx), --sweep and --verify")
    base, run = opened_run(run_url)
    if threshold or dust_vx >= 0 or sweep or verify:
        require_own_tree(base, run)
    else:
        require_labels(base, run)
    engine = engine_from(Engine(), workers, dask)
    start = time.perf_counter()
    if threshold or dust_vx >= 0:
        values, lines = _cut(base, run, engine, threshold, dust_vx)
    elif sweep:
        values, lines = _swept(base, run, engine, (sweep, thresholds, allow_seen))
    elif verify:
        values, lines = _verified(base, run, engine, verify, seed)
    else:
        with bars(f"stitch {run.url}") as watch:
            tally = finish(base, run, engine, watch)
        values, lines = {"run": run.url, "done": tally.done}, []
    seconds = time.perf_counter() - start
    done = [] if sweep or verify else finished_lines(str(values["run"]), seconds)
    say({**values, "seconds": round(seconds, 3)}, as_json, *lines, *done)


def decimal(text: str, what: str) -> Decimal:
    """A threshold.

    Raises:
        ConfigError: not a number in (0, 1].
    """
    try:
        value = Decimal(text)
        if 0 < value <= 1 and value == round(value, DECIMALS):
            return value
    except InvalidOperation:
        pass
    allowed = f"a probability above 0 and at most 1, of at most {DECIMALS} decimals"
    raise ConfigError(f"{what} {text!r}: give {allowed}, such as 0.6")


def _cut(base: Plan, run: Objects, engine: Engine, threshold: str, dust_vx: int) -> tuple[dict[str, Any], list[str]]:
    from emseg.pipeline.rethreshold import cut_name, derived_url, rethreshold_plan

    wanted = decimal(threshold, "--threshold") if threshold else None
    dust = dust_vx if dust_vx >= 0 else None
    planned = rethreshold_plan(base, run, wanted, dust)
    made, _ = planned.stored(derived_url(run, "stitches", planned.plan, cut_name(wanted, dust)))
    with bars(f"stitch {made.url}") as watch:
        tally = run_plan(planned.plan, made, engine, watch)
    return {"run": made.url, "done": tally.done}, []


def _swept(base: Plan, run: Objects, engine: Engine, asked: tuple[str, str, bool]) -> tuple[dict[str, Any], list[str]]:
    from emseg.pipeline.sweep_plan import sweep_plan, sweep_rows, usual_thresholds

    truth, text, allow_seen = asked
    thresholds = [decimal(t.strip(), "--thresholds") for t in text.split(",")] if text else usual_thresholds(base)
    plan = sweep_plan(base, run, truth, thresholds, allow_seen)
    rows = sweep_rows(plan, _finished(plan, run, "sweeps", engine), base, thresholds)
    best = min(rows, key=lambda row: float(row["vi_split"] + row["vi_merge"]))
    lines = [f"{'threshold':<11}{'VI':>9}{'split':>9}{'merge':>9}{'adapted Rand error':>21}"]
    for row in rows:
        total = row["vi_split"] + row["vi_merge"]
        figures = f"{total:>9.4f}{row['vi_split']:>9.4f}{row['vi_merge']:>9.4f}{row['adapted_rand_error']:>21.4f}"
        lines.append(f"{row['threshold']:<11}{figures}{'  best' if row is best else ''}")
    if Decimal(best["threshold"]) == Decimal(base.config["stages"]["merge"]["threshold"]):
        lines.append("the best is the run's own threshold: a lower one may be better, which takes a run of its own")
    return {"rows": rows, "best": best["threshold"]}, lines


def _verified(base: Plan, run: Objects, engine: Engine, nodes: int, seed: int) -> tuple[dict[str, Any], list[str]]:
    from emseg.pipeline.audit import audit_plan
    from emseg.pipeline.receipts import Ledger

    plan = audit_plan(base, run, nodes, seed)
    ledger = Ledger(_finished(plan, run, "audits", engine))
    distinct = {  # a small tree has fewer nodes than are drawn; then they are drawn again, over other grids
        (tier.fields["level"], tier.grid.bbox): (ledger.receipt(key) or {})["figures"]
        for tier in plan.tiers
        for key in tier.keys()
    }
    voxels, settled = (int(sum(f[name] for f in distinct.values())) for name in ("voxels", "settled"))
    values = {"nodes": len(distinct), "made": nodes, "voxels": voxels, "settled": settled, "different": 0}
    what = f"{len(distinct)} node{'s' * (len(distinct) != 1)} of {voxels} voxels in all"
    return values, [
        f"{what}, made again over {nodes} other grid{'s' * (nodes != 1)}: {settled} settled segments, all equal"
    ]


def _finished(plan: Plan, run: Objects, folder: str, engine: Engine) -> Objects:
    from emseg.pipeline.rethreshold import derived_url

    made = Objects(derived_url(run, folder, plan))
    store_plan(made, plan)
    with bars(f"{folder} {made.url}") as watch:
        run_plan(plan, made, engine, watch)
    return made
