"""Small plans around a run (ingest, phantom, score): planned, receipted and run like any other."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from emseg.pipeline.config import Engine
from emseg.pipeline.plan import Plan, is_stored, store_plan
from emseg.pipeline.receipts import Ledger
from emseg.pipeline.runner import Watch, run_plan
from emseg.tasks.volume.errors import LayerError
from emseg.tasks.volume.info import LayerSpec, new_info
from emseg.tasks.volume.layer import create_layer, open_layer
from emseg.tasks.volume.objects import Objects
from emseg.tasks.volume.url import canonical_url, redacted


def run_small(
    plan: Plan,
    run_url: str,
    workers: int,
    watch: Watch = lambda tally: None,
    specs: Mapping[str, LayerSpec] | None = None,
) -> Objects:
    """Create the layers of a plan (URL -> spec), store it and run it on local processes; its run directory.

    What failed for good before is tried again: whoever runs the same command again has mended the cause.

    Raises:
        LayerError: another layer is there; nothing was written. PlanChangedError: another plan is there.
        TaskFailedError: tasks failed for good.
    """
    for url, spec in (specs or {}).items():
        _require_free(url, spec)
    run = Objects(run_url)
    known = is_stored(run, plan)
    for url, spec in (specs or {}).items():
        create_layer(url, spec)
    store_plan(run, plan)
    if known:
        _forgive(Ledger(run))
    run_plan(plan, run, Engine(workers=workers), watch, advice="mend the cause, then run the same command again")
    return run


def _forgive(ledger: Ledger) -> None:
    names = {name.rsplit("/", 1)[0] for folder in ("failures", "attempts") for name in ledger.run.list(folder)}
    for key in sorted({name.split("/", 1)[1] for name in names}):
        if ledger.quarantined(key):
            ledger.forgive(key)


def _require_free(url: str, spec: LayerSpec) -> None:
    objects = Objects(url)
    if objects.exists("info") and open_layer(url).info != new_info(spec):
        raise LayerError(f"layer {redacted(objects.url)} exists with another info; choose another place")


@contextmanager
def records_at(place: str) -> Iterator[str]:
    """A run directory: `place`, which stays, so that what was stopped goes on; '' for a temporary one."""
    if place:
        yield canonical_url(place)
        return
    with tempfile.TemporaryDirectory(prefix="emseg-") as folder:
        yield folder
