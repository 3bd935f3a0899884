"""Commands of a run: plan, worker, drive, status, stitch, check, run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emseg.pipeline.check import check_run
from emseg.pipeline.config import Engine, RunConfig
from emseg.pipeline.costs import Price, price_of
from emseg.pipeline.output import human_bytes, note, say
from emseg.pipeline.plan import Plan, load_plan
from emseg.pipeline.progress import bars
from emseg.pipeline.receipts import Ledger
from emseg.pipeline.runner import run_plan, stitch
from emseg.pipeline.status import Status, status_of
from emseg.pipeline.yamlfile import load_yaml
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
WATCH_S = 2.0


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (plan, run, worker, drive, status, stitch_command, check):
        app.command(name=command.__name__.removesuffix("_command"))(command)


def _planned(path: Path, sets: list[str]) -> tuple[RunConfig, Planned]:
    from emseg.pipeline.planner import plan_run  # torch: only planning pays for it

    config = load_yaml(RunConfig, path, sets)
    planned = plan_run(config)
    for warning in planned.warnings:
        note(f"warning: {warning}")
    return config, planned


def _opened(url: str) -> tuple[Plan, Objects]:
    run_objects = Objects(url)
    return load_plan(run_objects), run_objects


def _engine(given: Engine, workers: int, dask: str) -> Engine:
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
    price = price_of(planned.plan, planned.specs, planned.model, planned.denoiser)
    if dry_run:
        say(price.to_json(), as_json, *_priced(price))
        return
    run_objects, new = planned.stored(config.run)
    enqueued = 0
    url = queue or config.engine.queue
    if url:
        from emseg.pipeline.queue import Queues
        from emseg.pipeline.queue_feed import enqueue_start

        enqueued = enqueue_start(planned.plan, Ledger(run_objects), Queues(url), window)
    values = {"run": run_objects.url, "plan": planned.plan.hash, "new": new, "enqueued": enqueued, **price.to_json()}
    state = "planned" if new else "found the same plan, going on:"
    say(values, as_json, f"{state} {run_objects.url} ({planned.plan.hash[:12]})", *_priced(price))


def _priced(price: Price) -> list[str]:
    lines = [f"{'stage':<12}{'tasks':>12}{'halo':>8}{'peak memory':>14}"]
    for stage, tasks in price.tasks.items():
        halo, peak = price.halo_overhead.get(stage), price.peak_bytes_per_task.get(stage)
        lines.append(f"{stage:<12}{tasks:>12}{f'{halo:.2f}' if halo else '':>8}{human_bytes(peak) if peak else '':>14}")
    read, written = human_bytes(price.bytes_read), human_bytes(price.bytes_written)
    return [*lines, f"reads {read}, writes {written} uncompressed, {price.objects} objects"]


def run(
    config_file: ConfigFile,
    sets: Sets = [],  # noqa: B006
    workers: Workers = 0,
    dask: Dask = "",
    as_json: AsJson = False,
) -> None:
    """Plan, run all workers on this machine (or on Dask), and stitch."""
    config, planned = _planned(config_file, sets)
    run_objects, _ = planned.stored(config.run)
    start = time.perf_counter()
    with bars(f"run {run_objects.url}") as watch:
        tally = run_plan(planned.plan, run_objects, _engine(config.engine, workers, dask), watch)
    seconds = time.perf_counter() - start
    values = {"run": run_objects.url, "plan": planned.plan.hash, "done": tally.done, "seconds": round(seconds, 3)}
    say(values, as_json, f"done in {seconds:.1f} s; look at it: emseg view {run_objects.url}")


def worker(
    queue: Annotated[str, typer.Argument(help="fq://folder or sqs://name", metavar="QUEUE")],
    task_class: Annotated[str, typer.Option("--class", help="cpu, gpu or big")] = "cpu",
    gpus: Annotated[str, typer.Option(help="all, or numbers: one process a device")] = "",
    root: Annotated[str, typer.Option(help="only serve runs below this URL")] = "",
    lease_s: Annotated[float, typer.Option(help="how long a silent worker keeps a task")] = 300.0,
    stop_when_empty_s: Annotated[float, typer.Option(help="end after the queue was empty so long; 0: never")] = 0.0,
) -> None:
    """Serve a queue: one of many, in containers or anywhere. SIGTERM hands the task back."""
    from emseg.pipeline.queue_fleet import chosen_devices, found_gpus, supervise
    from emseg.pipeline.worker import work

    devices = chosen_devices(gpus, found_gpus() if gpus else 0)
    options = {"root": root or None, "lease_s": lease_s, "stop_when_empty_s": stop_when_empty_s or None}
    if len(devices) > 1:
        raise typer.Exit(supervise(devices, queue, task_class, **options))
    work(queue, task_class, device=devices[0], **options)  # type: ignore[arg-type]


def drive(
    run_url: RunUrl,
    queue: QueueUrl,
    final: Annotated[bool, typer.Option("--stitch", help="also run resolve, relabel and downsample")] = False,
    every_s: Annotated[float, typer.Option(help="seconds between sweeps")] = 30.0,
    as_json: AsJson = False,
) -> None:
    """Feed and heal a queue run until it is complete: compares plan and receipts, puts back what was lost."""
    from emseg.pipeline.drive import drive as drive_run

    sweep = drive_run(run_url, queue, final=final, every_s=every_s, watch=lambda s: note(f"done {s.done}"))
    values = {"done": sweep.done, "planned": sweep.planned, "quarantined": list(sweep.quarantined)}
    say(values, as_json, f"done {sweep.done} of {sweep.planned}; quarantined: {', '.join(sweep.quarantined) or 'none'}")
    if not sweep.complete:
        raise typer.Exit(1)


def status(
    run_url: RunUrl,
    watch: Annotated[bool, typer.Option("--watch", help="look again every two seconds until complete")] = False,
    repair: Annotated[bool, typer.Option("--repair", help="put lost tasks back on --queue")] = False,
    retry: Annotated[bool, typer.Option("--retry", help="forget the failures of quarantined tasks")] = False,
    queue: QueueUrl = "",
    as_json: AsJson = False,
) -> None:
    """How far a run is, from its receipts: planned, done, failed, missing, time left."""
    found, run_objects = _opened(run_url)
    ledger = Ledger(run_objects)
    state = status_of(found, ledger)
    if retry:
        for key in state.failures:
            ledger.forgive(key)
        state = status_of(found, ledger)
    if repair:
        from emseg.pipeline.drive import repair as repair_run

        repair_run(run_objects.url, queue)
    while watch and not state.complete:
        note(" ".join(f"{s} {state.done[s]}/{n}" for s, n in state.planned.items()))
        time.sleep(WATCH_S)
        state = status_of(found, ledger)
    say(state.to_json(), as_json, *_stated(state))
    if state.failures:
        raise typer.Exit(1)


def _stated(state: Status) -> list[str]:
    lines = [f"{'stage':<12}{'planned':>10}{'done':>10}{'failed':>10}{'missing':>10}"]
    for stage, planned in state.planned.items():
        counts = (planned, state.done[stage], state.failed[stage], state.missing[stage])
        lines.append(f"{stage:<12}" + "".join(f"{n:>10}" for n in counts))
    lines += [f"failed {key}: {message}" for key, message in list(state.failures.items())[:10]]
    eta = "complete" if state.complete else "unknown" if state.eta_s is None else f"about {state.eta_s:.0f} s left"
    return [*lines, eta]


def stitch_command(run_url: RunUrl, workers: Workers = 0, dask: Dask = "", as_json: AsJson = False) -> None:
    """Finish a run whose chunks are done: the tree, final ids, labels, coarser mips."""
    found, run_objects = _opened(run_url)
    start = time.perf_counter()
    with bars(f"stitch {run_objects.url}") as watch:
        tally = stitch(found, run_objects, _engine(Engine(), workers, dask), watch)
    seconds = time.perf_counter() - start
    values = {"run": run_objects.url, "done": tally.done, "seconds": round(seconds, 3)}
    say(values, as_json, f"stitched in {seconds:.1f} s; look at it: emseg view {run_objects.url}")


def check(run_url: RunUrl, as_json: AsJson = False) -> None:
    """Compare every stored object with the digest in its receipt."""
    found, run_objects = _opened(run_url)
    checked = check_run(found, Ledger(run_objects))
    lines = [f"{checked.objects} objects, {len(checked.corrupt)} corrupt, {len(checked.missing)} missing"]
    lines += [f"corrupt {url}" for url in checked.corrupt] + [f"missing {url}" for url in checked.missing]
    say(checked.to_json(), as_json, *lines)
    if not checked.sound:
        raise typer.Exit(1)
