"""Small real runs for the queue tests: a pyramid over a synthetic image, and worker processes that can be slowed.

Run as a script it is one worker process: `queue_runs.py QUEUE JSON_OPTIONS`. EMSEG_TEST_TASK_S makes every task of it
take that long, so that there is time to kill it; EMSEG_TEST_CRASH names a key whose execution kills its process;
EMSEG_TEST_TWICE makes it put every message into the queues two times.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from emseg.pipeline.child import Outcome, failure
from emseg.pipeline.driver import Driver
from emseg.pipeline.execute import run_message
from emseg.pipeline.local import LocalEngine
from emseg.pipeline.plan import Plan, store_plan
from emseg.pipeline.queue import Queues
from emseg.pipeline.queue_signals import Stop
from emseg.pipeline.receipts import Ledger
from emseg.pipeline.tier import Need, Tier
from emseg.pipeline.worker import Worker, work
from emseg.tasks.base import Task
from emseg.tasks.context import Context, LayerRef
from emseg.tasks.kinds import KINDS
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.grid import Grid
from emseg.tasks.volume.layer import LayerSpec, create_layer
from emseg.tasks.volume.objects import Objects

BOX = BBox.sized((-3, 5, 9), (90, 65, 67))
SMALL = BBox.sized((0, 0, 0), (80, 40, 33))
CHUNK = (16, 16, 16)
HALVE = (2, 2, 2)


def pyramid(run_url: str, *, final_last: bool = False, box: BBox = BOX) -> tuple[Plan, Ledger]:
    """A run of two downsampling tiers (27 + 8 tasks in BOX, 12 + 2 in SMALL) over random bytes, planned and stored."""
    spec = LayerSpec("image", "uint8", 1, box, (8, 8, 40), CHUNK, factors=(HALVE, HALVE))
    layer = create_layer(f"{run_url}/layers/image", spec)
    image_CZYX = np.random.default_rng(0).integers(0, 200, (1, *box.shape_ZYX)).astype(np.uint8)
    layer.write(box, image_CZYX)
    tiers = []
    for mip in (1, 2):
        needs = (Need("downsample/mip1", factor=HALVE),) if mip == 2 else ()
        fields = {"layer": "image", "mip": mip, "factor": HALVE}
        grid = Grid(layer.at(mip).bounds, CHUNK)
        final = final_last and mip == 2
        tiers.append(Tier(f"downsample/mip{mip}", "downsample", grid, fields, needs, final=final))
    plan = Plan({"image": LayerRef("./layers/image")}, tuple(tiers))
    run = Objects(run_url)
    store_plan(run, plan)
    return plan, Ledger(run)


def local_digests(run_url: str, box: BBox = BOX) -> dict[str, str]:
    """Digests of all layer objects after the same run on the local engine."""
    plan, ledger = pyramid(run_url, box=box)
    engine = LocalEngine(1)
    try:
        tally = Driver(plan, ledger, engine).run()
    finally:
        engine.close()
    if not tally.complete:
        raise RuntimeError(f"the local engine failed: {tally.failed}")
    return digests(run_url)


def digests(run_url: str) -> dict[str, str]:
    """Digest of every stored object of the layers."""
    run = Objects(run_url)
    return {key: stored.digest for key in run.list("layers") if (stored := run.get_stored(key))}


def complete(plan: Plan, ledger: Ledger) -> bool:
    """Whether every key of the plan, and no other, has a receipt."""
    return sorted(ledger.receipts()) == sorted(plan.keys())


class InlineChild:
    """Stands in for the child process in tests of the parent: executes at once, here."""

    def __init__(self, root: str | None = None) -> None:
        self.root, self.outcome, self.executed = root, Outcome("", ""), list[str]()
        self.hangs, self.restarts = False, 0
        reader, writer = os.pipe()
        os.write(writer, b"ready")
        self.waitables: list[Any] = [reader]

    def submit(self, key: str, attempt: str, message: str) -> None:
        """Execute."""
        self.executed.append(key)
        try:
            self.outcome = Outcome(key, attempt, json.loads(run_message(message, attempt, "cpu", self.root)))
        except Exception as error:  # noqa: BLE001  as the child's own loop
            self.outcome = failure(key, attempt, error)

    def poll(self) -> Outcome | None:
        """The outcome; a task that hangs has none."""
        return None if self.hangs else self.outcome

    def restart(self) -> None:
        """Nothing to start."""
        self.restarts += 1

    def close(self) -> None:
        """Nothing to end."""


def inline_worker(queues: Queues, lease_s: float = 2.0, root: str | None = None) -> Worker:
    """A worker in this process."""
    child: Any = InlineChild(root)
    return Worker(queues, queues.of("cpu"), child, Stop(), lease_s, root)


def start_worker(
    queue_url: str, *, task_s: float = 0.0, crash: str = "", twice: bool = False, **options: Any
) -> subprocess.Popen[bytes]:
    """One worker process; it ends when its queue has been empty for a while."""
    defaults = {"lease_s": 2.0, "stop_when_empty_s": 1.0, "idle_cap_s": 0.5}
    environ = os.environ | {"EMSEG_TEST_TASK_S": str(task_s), "EMSEG_TEST_CRASH": crash, "OMP_NUM_THREADS": "1"}
    environ |= {"EMSEG_TEST_TWICE": "1"} if twice else {}
    command = [sys.executable, __file__, queue_url, json.dumps(defaults | options)]
    return subprocess.Popen(command, env=environ)


def wait_for(condition: Callable[[], bool], limit_s: float = 40.0) -> None:
    """Wait until a condition holds; fail when it takes too long."""
    end_s = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end_s:
            raise TimeoutError("what the test waits for did not happen")
        time.sleep(0.05)


def children_of(pid: int) -> list[int]:
    """Processes whose parent is this one, the executing child among them."""
    return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def executing_child(pid: int) -> int:
    """The process that executes for a worker (the other one is multiprocessing's resource tracker)."""
    return next(c for c in children_of(pid) if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes())


def _slowed(execute: Callable[[Task, Context], None]) -> Callable[[Task, Context], None]:
    def slow(task: Task, context: Context) -> None:
        if task.key == os.environ.get("EMSEG_TEST_CRASH"):
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(float(os.environ.get("EMSEG_TEST_TASK_S", "0")))
        execute(task, context)

    return slow


def twice(insert: Callable[[Queues, Iterable[tuple[str, str]]], int]) -> Callable[[Queues, Iterable[Any]], int]:
    """`Queues.insert` that puts every message two times."""

    def doubled(queues: Queues, messages: Iterable[tuple[str, str]]) -> int:
        return insert(queues, [m for message in messages for m in (message, message)]) // 2

    return doubled


if __name__ in ("__main__", "__mp_main__"):  # the worker's child comes in under the second name
    for kind in KINDS.values():
        kind.execute = _slowed(kind.execute)  # type: ignore[method-assign]
if __name__ == "__main__":
    if "EMSEG_TEST_TWICE" in os.environ:
        Queues.insert = twice(Queues.insert)  # type: ignore[method-assign]
    work(sys.argv[1], **json.loads(sys.argv[2]))
