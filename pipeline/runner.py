"""Run a plan, or a part of it, on the engine that a config names; finish the stitching."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from emseg.pipeline.config import Engine as EngineConfig
from emseg.pipeline.costs import price_of
from emseg.pipeline.driver import Driver, Engine, Tally
from emseg.pipeline.local import LocalEngine
from emseg.pipeline.machine import cores, fitting, gpus, memory_bytes
from emseg.pipeline.output import human_bytes, note
from emseg.pipeline.plan import Plan
from emseg.pipeline.queue_signals import Stop
from emseg.pipeline.receipts import Ledger
from emseg.pipeline.status import missing_keys
from emseg.pipeline.tier import Tier
from emseg.tasks.volume.errors import ConfigError, IncompleteError, TaskFailedError
from emseg.tasks.volume.objects import Objects

Watch = Callable[[Tally], None]
ADVICE = "mend the cause, then `emseg status RUN --retry` and run again"
QUEUED = (
    "engine.kind queue runs by `emseg plan`, `emseg worker` and `emseg stitch` (or `emseg drive --stitch`); use local "
    "or dask here"
)
CUDA = "cuda"
NAMED = 10  # missing chunks that a refusal names


def workers_of(config: EngineConfig, peak_bytes: int = 0) -> int:
    """Worker processes on this machine; by default one a core, as far as memory holds tasks of such a peak."""
    fits = fitting(peak_bytes)
    if config.workers:
        if config.workers * peak_bytes > memory_bytes():
            note(f"warning: {config.workers} workers may need {human_bytes(config.workers * peak_bytes)} of memory")
        return config.workers
    if fits < cores():
        note(f"{fits} workers for {cores()} cores: a task may need {human_bytes(peak_bytes)} of memory")
    return fits


def engine_of(config: EngineConfig, device: str = "cpu", peak_bytes: int = 0) -> Engine:
    """The engine of a config; on this machine with one process a GPU for tasks that want one.

    Raises:
        ConfigError: tasks want GPUs and this machine shows none, or the engine is a queue.
    """
    if config.kind == "local":
        return LocalEngine(workers_of(config, peak_bytes), _gpus() if device == CUDA else ())
    if config.kind == "dask":
        from emseg.pipeline.dask_engine import DaskEngine

        workers = workers_of(config, peak_bytes)
        if device == CUDA and config.address is None:
            workers = len(_gpus())
        return DaskEngine(config.address, workers, device)
    raise ConfigError(QUEUED)


def _gpus() -> list[str]:
    found = gpus()
    if not found:
        raise ConfigError(
            "stages.predict.device cuda: this machine shows no GPU; run where there is one, or plan for cpu"
        )
    return found


def require_runnable(config: EngineConfig) -> None:
    """Refuse an engine that others run, before anything is written."""
    if config.kind == "queue":
        raise ConfigError(QUEUED)


def device_of(plan: Plan, wanted: Callable[[Tier], bool] = lambda tier: True) -> str:
    """Kind of device that the network tasks of the wanted tiers want."""
    devices = {str(t.fields["device"]) for t in plan.tiers if "device" in t.fields and wanted(t)}
    return devices.pop() if devices else "cpu"


def run_plan(
    plan: Plan,
    run: Objects,
    config: EngineConfig,
    watch: Watch = lambda tally: None,
    wanted: Callable[[Tier], bool] = lambda tier: True,
    advice: str = ADVICE,
    peak_bytes: int = 0,
) -> Tally:
    """Run all wanted tiers to their end.

    Args:
        peak_bytes: memory that a task may need; decides how many run here if the config does not say.
        advice: what a person should do about tasks that failed for good.

    Raises:
        TaskFailedError: tasks were quarantined; names up to three.
    """
    most = max((len(tier.grid) for tier in plan.tiers if wanted(tier)), default=1)
    engine = engine_of(_no_more(config, most), device_of(plan, wanted), peak_bytes)
    try:
        with _stopping() as stop:
            tally = Driver(plan, Ledger(run), engine, wanted=wanted, watch=watch, stop=stop).run()
    finally:
        engine.close()
    if tally.failed:
        some = "; ".join(f"{key}: {message}" for key, message in list(tally.failed.items())[:3])
        raise TaskFailedError(f"{len(tally.failed)} tasks failed for good ({some}); {advice}")
    return tally


def _no_more(config: EngineConfig, tasks: int) -> EngineConfig:
    """The config with no more workers than ever have something to do at once."""
    return config.model_copy(update={"workers": min(config.workers, max(tasks, 1))})


@contextmanager
def _stopping() -> Iterator[Stop | None]:
    """SIGTERM and Ctrl-C as a request to hand back; only the main thread may catch signals."""
    if threading.current_thread() is not threading.main_thread():
        yield None
        return
    with Stop() as stop:
        yield stop


def stitch(plan: Plan, run: Objects, config: EngineConfig, watch: Watch = lambda tally: None) -> Tally:
    """Finish a run whose chunks are all done: the tree, resolve, relabel, downsample.

    Raises:
        IncompleteError: chunks lack receipts; names ten.
    """
    missing = missing_keys(plan, Ledger(run), NAMED + 1)
    if missing:
        more = " and more" if len(missing) > NAMED else ""
        raise IncompleteError(
            f"{run.url}: chunks lack receipts: {', '.join(missing[:NAMED])}{more}; let workers finish, or see "
            "`emseg status`"
        )
    peaks = price_of(plan, {}, None).peak_bytes_per_task.values()
    return run_plan(plan, run, config, watch, _of_stitching, peak_bytes=max(peaks, default=0))


def _of_stitching(tier: Tier) -> bool:
    return not tier.chunked
