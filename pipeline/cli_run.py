"""Commands of a run: plan, worker, drive, status, check, run."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import structlog
import typer

from emseg.pipeline.check import check_run
from emseg.pipeline.config import Engine, RunConfig
from emseg.pipeline.costs import Price
from emseg.pipeline.output import human_bytes, note, same_command, say, told_when_stopped
from emseg.pipeline.plan import Plan, load_plan
from emseg.pipeline.progress import bars
from emseg.pipeline.queue_census import Census
from emseg.pipeline.receipts import Ledger
from emseg.pipeline.runner import require_runnable, run_plan
from emseg.pipeline.status import Status, status_of
from emseg.pipeline.status import retry as retry_failed
from emseg.pipeline.thresholds import thresholds_of
from emseg.pipeline.waiting import Waiting, waiting_of
from emseg.pipeline.yamlfile import load_yaml
from emseg.tasks.volume.errors import ConfigError
from emseg.tasks.volume.objects import Objects

if TYPE_CHECKING:
    from emseg.pipeline.planner import Planned

ConfigFile = Annotated[Path, typer.Argument(help="run.yaml")]
RunUrl = Annotated[str, typer.Argument(help="run directory: path or URL", metavar="RUN")]
Sets = Annotated[list[str], typer.Option("--set", help="override, such as stages.fragment.t_low=0.02")]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object on standard output")]
Workers = Annotated[int, typer.Option(min=0, help="processes on this machine; 0: one a core, or the config's")]
Dask = Annotated[str, typer.Option(help="Dask scheduler, tcp://host:port")]
QueueUrl = Annotated[str, typer.Option("--queue", help="fq://folder or sqs://name")]
ROUNDS = (
    "rounds over partitions finish the run above the tree; about 40 are needed if what the mean leaves fits one task, "
    "and each of the others (stages.merge.rounds.most) still costs four small objects a partition"
)
NOISE = "a chunk of noise (resin, say) takes up to 160 bytes a voxel, more than the peak of fragment above: mask it"
WATCH_S = 2.0
DUTY = 10  # a look at a large run may take minutes: rest at least this many times longer


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (plan, run, worker, drive, status, check):
        app.command(name=command.__name__)(command)


def _planned(path: Path, sets: list[str]) -> tuple[RunConfig, Planned]:
    from emseg.pipeline.planner import plan_run  # torch: only planning pays for it

    config = load_yaml(RunConfig, path, sets)
    planned = plan_run(config)
    for warning in planned.warnings:
        note(f"warning: {warning}")
    return config, planned


def opened_run(url: str) -> tuple[Plan, Objects]:
    """Plan and directory of a run."""
    run_objects = Objects(url)
    return load_plan(run_objects), run_objects


def engine_from(given: Engine, workers: int, dask: str) -> Engine:
    """The engine of a config, as options of the command line change it."""
    changes = {"workers": workers or given.workers, **({"kind": "dask", "address": dask} if dask else {})}
    return given.model_copy(update=changes)


def plan(
    config_file: ConfigFile,
    sets: Sets = [],  # noqa: B006  typer copies it
    dry_run: Annotated[bool, typer.Option("--dry-run", help="price the run, write nothing")] = False,
    queue: QueueUrl = "",
    window: Annotated[int, typer.Option(min=1, help="starting tasks in flight on a queue")] = 1000,
    as_json: AsJson = False,
) -> None:
    """Validate a run, price it, write its plan; for a queue engine enqueue what can start."""
    config, planned = _planned(config_file, sets)
    price = planned.price()
    if dry_run:
        say(price.to_json(), as_json, *thresholds_of(planned.plan), *_priced(price))
        return
    from emseg.pipeline.queue import Queues
    from emseg.pipeline.queue_feed import enqueue_start

    url = queue or config.engine.queue
    queues = Queues(url) if url else None  # refused before anything is written
    run_objects, new = planned.stored(config.run)
    enqueued = 0 if queues is None else enqueue_start(planned.plan, Ledger(run_objects), queues, window)
    values = {"run": run_objects.url, "plan": planned.plan.hash, "new": new, "enqueued": enqueued, **price.to_json()}
    state = "planned" if new else "found the same plan, going on:"
    lines = [f"{state} {run_objects.url} ({planned.plan.hash[:12]})", *thresholds_of(planned.plan), *_priced(price)]
    if url:
        lines.append(f"put {enqueued} tasks into {url}; start `emseg worker {url}`, one of --class big too")
    say(values, as_json, *lines)


def _priced(price: Price) -> list[str]:
    lines = [f"{'stage':<12}{'tasks':>12}{'halo':>8}{'peak memory':>14}   halo: voxels worked on, per voxel of the box"]
    for stage, tasks in price.tasks.items():
        halo, peak = price.halo_overhead.get(stage), price.peak_bytes_per_task.get(stage)
        lines.append(f"{stage:<12}{tasks:>12}{f'{halo:.2f}' if halo else '':>8}{human_bytes(peak) if peak else '':>14}")
    read, written = human_bytes(price.bytes_read), human_bytes(price.bytes_written)
    if "fragment" in price.peak_bytes_per_task and price.tree_node_bytes:
        lines.append(NOISE)
    if any(price.tree_node_bytes.values()):
        tier = max(price.tree_node_bytes, key=lambda name: price.tree_node_bytes[name])
        lines.append(f"a node of the tree holds up to {human_bytes(price.tree_node_bytes[tier])}, in {tier}")
        lines += [ROUNDS] if "rounds" in price.tree_node_bytes else []
    return [*lines, f"reads {read}, writes {written} uncompressed, {price.objects} objects"]


@told_when_stopped()
def run(
    config_file: ConfigFile,
    sets: Sets = [],  # noqa: B006
    workers: Workers = 0,
    dask: Dask = "",
    as_json: AsJson = False,
) -> None:
    """Plan, run all workers on this machine (or on Dask), and stitch."""
    config, planned = _planned(config_file, sets)
    engine = engine_from(config.engine, workers, dask)
    require_runnable(engine)
    run_objects, _ = planned.stored(config.run)
    start = time.perf_counter()
    with bars(f"run {run_objects.url}", *thresholds_of(planned.plan)) as watch:
        tally = run_plan(planned.plan, run_objects, engine, watch, peak_bytes=planned.price().peak_bytes)
    seconds = time.perf_counter() - start
    values = {"run": run_objects.url, "plan": planned.plan.hash, "done": tally.done, "seconds": round(seconds, 3)}
    say(values, as_json, *finished_lines(run_objects.url, seconds))


def finished_lines(url: str, seconds: float) -> list[str]:
    """Where the result of a run is, for people."""
    where = f"segmentation: {url}/layers/segmentation (CloudVolume opens it)"
    return [f"done in {seconds:.1f} s", where, f"look at it: emseg view {url}"]


def worker(
    queue: Annotated[str, typer.Argument(help="fq://folder or sqs://name", metavar="QUEUE")],
    task_class: Annotated[str, typer.Option("--class", help="cpu, gpu or big")] = "cpu",
    gpus: Annotated[str, typer.Option(help="all, or numbers: one process a device")] = "",
    root: Annotated[str, typer.Option(help="only serve runs, and their layers, below this URL")] = "",
    read_root: Annotated[list[str], typer.Option(help="with --root: also read layers below this URL; repeatable")] = [],  # noqa: B006
    lease_s: Annotated[float, typer.Option(min=10, max=43200, help="how long a silent worker keeps a task")] = 300.0,
    task_limit_s: Annotated[float, typer.Option(min=1, help="a task that takes longer is ended and counts")] = 21600.0,
    stop_when_empty_s: Annotated[
        float, typer.Option(min=0, help="end after the queue was empty so long; 0: never")
    ] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Serve a queue: one of many, in containers or anywhere. SIGTERM hands the task back."""
    _log_progress()
    from emseg.pipeline.queue_fleet import chosen_devices, found_gpus, supervise
    from emseg.pipeline.worker import work

    devices = chosen_devices(gpus, found_gpus() if gpus else 0)
    options: dict[str, Any] = {
        **{"root": root or None, "read_roots": tuple(read_root), "lease_s": lease_s},
        **{"task_limit_s": task_limit_s, "stop_when_empty_s": stop_when_empty_s or None},
    }
    if len(devices) > 1:
        raise typer.Exit(supervise(devices, queue, task_class, **options))
    served = work(queue, task_class, device=devices[0], **options)
    values = vars(served)
    say(values, as_json, ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in values.items()))
    if not served.sound:
        raise typer.Exit(1)


def _log_progress() -> None:
    """A worker and a driver run unwatched: their log tells what they do, also that of their child processes."""
    os.environ["EMSEG_LOG_LEVEL"] = str(logging.INFO)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))


def drive(
    run_url: RunUrl,
    queue: QueueUrl,
    final: Annotated[
        bool | None,
        typer.Option("--stitch/--no-stitch", help="whether resolve, relabel and downsample may start; else as before"),
    ] = None,
    every_s: Annotated[float, typer.Option(min=1, help="seconds between sweeps")] = 30.0,
    as_json: AsJson = False,
) -> None:
    """Feed and heal a queue run until it is complete: compares plan and receipts, puts back what was lost."""
    _log_progress()
    from emseg.pipeline.drive import drive as drive_run

    sweep = drive_run(run_url, queue, final=final, every_s=every_s, watch=lambda s: note(_counted(s.done, s.planned)))
    bad = [*sweep.quarantined, *sweep.contradicted]
    values = {
        **{"done": sweep.done, "planned": sweep.planned, "quarantined": list(sweep.quarantined)},
        **{"contradicted": list(sweep.contradicted), "complete": sweep.complete, "unasked": sweep.unasked},
        "dead": sweep.dead,
    }
    lines = [f"done: {_counted(sweep.done, sweep.planned)}", *(f"failed {key}: see `emseg status`" for key in bad[:10])]
    if sweep.complete and sweep.unasked:
        lines.append(f"chunks complete; stitching not asked for: `emseg stitch {run_url}`, or drive with --stitch")
    if not (sweep.complete or sweep.stuck):
        lines.append(f"stopped; workers go on, and so does the same command: {same_command()}")
    say(values, as_json, *lines)
    if not sweep.complete:
        raise typer.Exit(1)


def _counted(done: dict[str, int], planned: dict[str, int]) -> str:
    """Tasks done of those planned, stage by stage."""
    return ", ".join(f"{stage} {done.get(stage, 0)}/{count}" for stage, count in planned.items())


def status(
    run_url: RunUrl,
    watch: Annotated[bool, typer.Option("--watch", help="look again and again until nothing changes any more")] = False,
    repair: Annotated[bool, typer.Option("--repair", help="put lost tasks back on --queue")] = False,
    retry: Annotated[bool, typer.Option("--retry", help="forget the failures of quarantined tasks")] = False,
    queue: QueueUrl = "",
    as_json: AsJson = False,
) -> None:
    """How far a run is, from its receipts: planned, done, failed, missing, time left."""
    if repair and not queue:
        raise ConfigError("--repair puts lost tasks back on a queue: give it too, --queue fq://FOLDER or sqs://NAME")
    found, run_objects = opened_run(run_url)
    ledger = Ledger(run_objects)
    state = status_of(found, ledger)
    if retry:
        retry_failed(ledger)
        state = status_of(found, ledger)
    if repair:
        from emseg.pipeline.drive import repair as repair_run

        repair_run(run_objects.url, queue)
    if watch:
        state = _watched(found, ledger, state)
    waits = Waiting() if state.complete else waiting_of(found, ledger, state.failures)
    say({**state.to_json(), "idle": waits.idle}, as_json, *_stated(state, waits, run_url))
    if state.failures:
        raise typer.Exit(1)


def _watched(found: Plan, ledger: Ledger, state: Status) -> Status:
    """Look again and again until the run is complete, or only failed tasks and what waits for them are left."""
    while not state.complete:
        note(_counted(state.done, state.planned))
        start_s = time.monotonic()
        census = Census(found, ledger, list(found.tiers))
        if state.failures and all(key in state.failures for key in census.ready()):
            note("nothing can go on: what is left waits for failed tasks; see `emseg status --retry`")
            break
        state = status_of(found, ledger)
        time.sleep(max(WATCH_S, DUTY * (time.monotonic() - start_s)))
    return state


def _stated(state: Status, waits: Waiting, run_url: str) -> list[str]:
    lines = [f"{'stage':<12}{'planned':>10}{'done':>10}{'failed':>10}{'missing':>10}"]
    for stage, planned in state.planned.items():
        counts = (planned, state.done[stage], state.failed[stage], state.missing[stage])
        lines.append(f"{stage:<12}" + "".join(f"{n:>10}" for n in counts))
    lines += [f"failed {key}: {message}" for key, message in list(state.failures.items())[:10]]
    if state.complete:
        return [*lines, "complete"]
    known = state.eta_s is not None and waits.worked_on
    return [*lines, *waits.lines(run_url), f"about {state.eta_s:.0f} s left" if known else "time left: unknown"]


def check(
    run_url: RunUrl,
    repair: Annotated[
        bool, typer.Option("--repair", help="forget who wrote damaged objects, so that they are written again")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Prove a run: all tasks done, every stored object as its receipt, or the plan, says."""
    found, run_objects = opened_run(run_url)
    ledger = Ledger(run_objects)
    checked = check_run(found, ledger)
    if repair:
        for key in checked.damaged:
            ledger.forget(key)
    lines = [f"{checked.done} of {checked.planned} tasks done"]
    lines += [f"{checked.objects} objects, {len(checked.corrupt)} corrupt, {len(checked.missing)} missing"]
    lines += [f"corrupt {url}" for url in checked.corrupt] + [f"missing {url}" for url in checked.missing]
    if checked.damaged:
        tasks = f"{len(checked.damaged)} tasks"
        lines.append(
            f"{tasks} will be done again by the next run or worker" if repair else f"{tasks} wrote them: --repair"
        )
    say(checked.to_json(), as_json, *lines)
    if not checked.sound:
        raise typer.Exit(1)
