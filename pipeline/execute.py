"""Run one task of one plan in this process and make its receipt. Every engine ends here."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from emseg.pipeline.fence import layers_to_read, require_layers_inside, require_run_inside
from emseg.pipeline.plan import Plan, base_url, load_plan
from emseg.tasks.base import Task, canonical_json, fingerprint
from emseg.tasks.context import Context, Record
from emseg.tasks.memory import peak_bytes, reset_peak
from emseg.tasks.volume.errors import MessageError
from emseg.tasks.volume.objects import Objects
from emseg.tasks.volume.url import canonical_url, redacted


def message_of(plan: Plan, run_url: str, key: str) -> str:
    """The wire form of a task: canonical JSON of kind, fields, plan hash and run directory."""
    task = plan.task(key)
    message = {"kind": task.kind, "fields": task.fields(), "plan": plan.hash, "run": run_url}
    return canonical_json(message).decode()


def parse_message(text: str, root: str | None = None, read_roots: Sequence[str] = ()) -> tuple[Plan, Objects, Task]:
    """Plan, run directory and task of a message.

    Args:
        root: below it lie the run and its layers; None: anywhere.
        read_roots: below these may lie layers that are only read.

    Raises:
        MessageError: not a message, another plan than the run directory's, a task that the plan does not hold, or a
            place outside the roots.
    """
    try:
        raw = json.loads(text)
        run_url, plan_hash, fields = canonical_url(raw["run"]), raw["plan"], raw["fields"]
        key = str(fields["key"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise MessageError(f"a message is no task ({type(error).__name__}: {error}); it is set aside") from None
    require_run_inside(run_url, root)
    plan = cached_plan(run_url, str(plan_hash))
    require_layers_inside(plan, run_url, root, read_roots)
    task = plan.task(key)
    if (raw.get("kind"), canonical_json(fields)) != (task.kind, canonical_json(task.fields())):
        raise MessageError(f"a message for {key} differs from the plan's task; it is set aside")
    return plan, Objects(run_url), task


@lru_cache(maxsize=8)
def cached_plan(run_url: str, plan_hash: str) -> Plan:
    """The plan with this hash, read once a process: a plan never changes, but its directory may be planned anew.

    Raises:
        MessageError: the directory holds another plan now.
    """
    plan = load_plan(Objects(run_url))
    if plan.hash != plan_hash:
        raise MessageError(f"a message is of plan {plan_hash}, but {redacted(run_url)} holds {plan.hash}; plan again")
    return plan


def execute(
    plan: Plan,
    run: Objects,
    task: Task,
    attempt: str = "",
    device: str = "cpu",
    read_only: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """Execute a task and return its receipt; nothing is recorded yet. Layers in `read_only` refuse to be written."""
    record = Record()
    base = Objects(base_url(run.url)) if plan.derived else None
    context = Context(plan.refs(run.url), run, device, record, read_only, base)
    reset_peak()
    start = time.perf_counter()
    task.execute(context)
    return {
        "key": task.key,
        "plan": plan.hash,
        "fingerprint": fingerprint(task, record.inputs),
        "inputs": record.inputs,
        "outputs": record.outputs,
        "figures": record.figures,
        "run": _circumstances(record.seconds, time.perf_counter() - start, attempt, device),
    }


def run_message(
    text: str, attempt: str = "", device: str = "cpu", root: str | None = None, read_roots: Sequence[str] = ()
) -> str:
    """Execute a message; its receipt as JSON. What Dask workers and child processes call."""
    plan, run, task = parse_message(text, root, read_roots)
    read_only = layers_to_read(plan, run.url, root)
    return canonical_json(execute(plan, run, task, attempt, device, read_only)).decode()


def _circumstances(phases_s: Mapping[str, float], total_s: float, attempt: str, device: str) -> dict[str, Any]:
    return {
        "attempt": attempt,
        "host": platform.node(),
        "pid": os.getpid(),
        "device": device,
        "seconds": {**phases_s, "total": total_s},
        "peak_bytes": peak_bytes(),
        "finished_s": time.time(),
    }
