"""Run a plan, or a part of it, on the engine that a config names; finish the stitching."""

from __future__ import annotations

import os
from collections.abc import Callable

from emseg.pipeline.config import Engine as EngineConfig
from emseg.pipeline.driver import Driver, Engine, Tally
from emseg.pipeline.local import LocalEngine
from emseg.pipeline.plan import Plan
from emseg.pipeline.receipts import Ledger
from emseg.pipeline.status import missing_keys
from emseg.pipeline.tier import Tier
from emseg.tasks.volume.errors import ConfigError, IncompleteError, TaskFailedError
from emseg.tasks.volume.objects import Objects

Watch = Callable[[Tally], None]
NAMED = 10  # missing chunks that a refusal names


def workers_of(config: EngineConfig) -> int:
    """Worker processes on this machine; by default one a core."""
    return config.workers or len(os.sched_getaffinity(0))


def engine_of(config: EngineConfig, device: str = "cpu") -> Engine:
    """The engine of a config."""
    if config.kind == "local":
        return LocalEngine(workers_of(config), device)
    if config.kind == "dask":
        from emseg.pipeline.dask_engine import DaskEngine

        return DaskEngine(config.address, workers_of(config), device)
    raise ConfigError(
        "engine.kind queue runs by `emseg plan`, `emseg worker` and `emseg stitch`; use local or dask here"
    )


def device_of(plan: Plan) -> str:
    """Kind of device that the plan's network tasks want."""
    devices = {str(t.fields["device"]) for t in plan.tiers if "device" in t.fields}
    return devices.pop() if devices else "cpu"


def run_plan(
    plan: Plan,
    run: Objects,
    config: EngineConfig,
    watch: Watch = lambda tally: None,
    wanted: Callable[[Tier], bool] = lambda tier: True,
) -> Tally:
    """Run all wanted tiers to their end.

    Raises:
        TaskFailedError: tasks were quarantined; names up to three.
    """
    engine = engine_of(config, device_of(plan))
    try:
        tally = Driver(plan, Ledger(run), engine, wanted=wanted, watch=watch).run()
    finally:
        engine.close()
    if tally.failed:
        some = "; ".join(f"{key}: {message}" for key, message in list(tally.failed.items())[:3])
        raise TaskFailedError(
            f"{len(tally.failed)} tasks failed for good ({some}); mend the cause, then `emseg status RUN --retry` "
            "and run again"
        )
    return tally


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
    return run_plan(plan, run, config, watch, lambda tier: not tier.chunked)
