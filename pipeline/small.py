"""Small plans around a run (ingest, phantom, score): planned, receipted and run like any other."""

from __future__ import annotations

from collections.abc import Mapping

from emseg.pipeline.config import Engine
from emseg.pipeline.plan import Plan, store_plan
from emseg.pipeline.runner import Watch, run_plan
from emseg.tasks.volume.info import LayerSpec
from emseg.tasks.volume.layer import create_layer
from emseg.tasks.volume.objects import Objects


def run_small(
    plan: Plan,
    run_url: str,
    workers: int,
    watch: Watch = lambda tally: None,
    specs: Mapping[str, LayerSpec] | None = None,
) -> Objects:
    """Store a plan, create its layers (URL -> spec) and run it on local processes; its run directory."""
    run = Objects(run_url)
    store_plan(run, plan)
    for url, spec in (specs or {}).items():
        create_layer(url, spec)
    run_plan(plan, run, Engine(workers=workers), watch)
    return run
