"""Tiny runs that end above the tree in rounds, in instances or in components, and the engines that finish them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from faults.queue_runs import start_worker

from emseg.pipeline.config import RunConfig
from emseg.pipeline.drive import drive
from emseg.pipeline.execute import execute
from emseg.pipeline.plan import Plan
from emseg.pipeline.planner import plan_run
from emseg.pipeline.queue import Queues
from emseg.pipeline.queue_feed import enqueue_start
from emseg.pipeline.receipts import Ledger
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.info import LayerSpec
from emseg.tasks.volume.layer import create_layer
from emseg.tasks.volume.objects import Objects

BOX = BBox.sized((-3, 4, 9), (16, 15, 14))
LAYERS = ("fragments", "segmentation")
BUDGET = 34_000  # bytes: nodes of two leaves fit, a root does not
ROUNDS = {"node_bytes": BUDGET, "rounds": {"partitions": 2, "most": 42}}


def tiny_affinities(url: str) -> str:
    """uint8 affinities of few levels over BOX; their URL."""
    layer = create_layer(url, LayerSpec("image", "uint8", 3, BOX, (8, 8, 8), (16, 16, 16)))
    rng = np.random.default_rng(7)
    layer.write(BOX, (rng.integers(0, 17, (3, *BOX.shape_ZYX)) * 15).astype(np.uint8))
    return url


def planned(run_url: str, affinities: str, **merge: object) -> tuple[Plan, Ledger]:
    """A plan over eight leaves in its run directory."""
    stages = {
        "fragment": {"chunk_vx": (8, 8, 8)},
        "merge": {"min_size_vx": 20, "threshold": "0.5", **merge},
        "relabel": {"chunk_vx": (16, 16, 16), "dust_vx": 5},
        "downsample": {"mips": 0},
    }
    layers = {"chunk_vx": (16, 16, 16)}
    return stored({"run": run_url, "layers": layers, "affinities": {"layer": affinities}, "stages": stages})


def stored(values: dict[str, object]) -> tuple[Plan, Ledger]:
    """The plan of a config, in its run directory."""
    made = plan_run(RunConfig.model_validate(values))
    run, _ = made.stored(str(values["run"]))
    return made.plan, Ledger(run)


def finished_here(plan: Plan, ledger: Ledger) -> dict[str, str]:
    """All tasks executed one after the other in this process; digests."""
    for key in plan.keys():
        ledger.finish(key, execute(plan, ledger.run, plan.task(key)))
    return digests(ledger.run)


def digests(run: Objects, folder: str = "layers") -> dict[str, str]:
    """Digest of every stored object of the result: all below `folder` but provisional labels."""
    keys = [key for key in run.list(folder) if "provisional" not in key]
    return {key: found.digest for key in keys if (found := run.get_stored(key))}


@contextmanager
def fleet(queue_url: str, classes: list[str], **options: object) -> Iterator[list[subprocess.Popen[bytes]]]:
    """One worker process a class, ended at the end."""
    chosen = {"lease_s": 3.0, "stop_when_empty_s": None, "idle_cap_s": 0.1, **options}
    started = [start_worker(queue_url, task_class=c, **chosen) for c in classes]  # type: ignore[arg-type]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()


def finish_by_queue(plan: Plan, ledger: Ledger, queue_url: str, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Two workers of class big and one of class cpu, and the driver, to the end; `meanwhile` comes before them."""
    queues = Queues(queue_url)
    enqueue_start(plan, ledger, queues, 8, final=True)
    meanwhile()
    with fleet(queues.url, ["big", "big", "cpu"]):
        assert drive(ledger.run.url, queues.url, every_s=1.0).complete


def file_queue(folder: Path) -> str:
    """URL of a queue in a folder."""
    return f"fq://{folder}/queue"
