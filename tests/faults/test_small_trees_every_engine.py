"""Components and overlapping instances by two processes, and by workers of one queue: the bytes of one process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from faults.stitched_runs import digests, file_queue, finished_here, fleet, stored
from laws.component_sweeps import of_the_whole, random_labels
from laws.test_overlap import files_of, values_of
from laws.test_random_overlaps import random_chunks

from emseg.pipeline import components
from emseg.pipeline.components import ComponentRules, connected_components
from emseg.pipeline.drive import drive
from emseg.pipeline.driver import Driver
from emseg.pipeline.local import LocalEngine
from emseg.pipeline.plan import Plan, store_plan
from emseg.pipeline.queue import Queues
from emseg.pipeline.queue_feed import enqueue_start
from emseg.pipeline.receipts import Ledger
from emseg.tasks.volume.info import LayerSpec
from emseg.tasks.volume.layer import create_layer, open_layer
from emseg.tasks.volume.objects import Objects

pytestmark = [pytest.mark.fault, pytest.mark.slow]

CONNECTIVITIES = (6, 18, 26)
LABELS = random_labels(8, 13, 15)
CHUNKS = random_chunks(24)
Finish = Callable[[list[tuple[Plan, Ledger]]], None]


@dataclass
class Started:
    """Plans of all runs in their directories, the folders of their results, and what they must hold."""

    runs: list[tuple[Plan, Ledger]]
    results: list[Objects]
    wanted: list[dict[str, str]]


def planned_components(folder: Path, connectivity: int, patch: pytest.MonkeyPatch) -> tuple[Plan, Ledger, Objects]:
    """The plan of `emseg components` over eight leaves, its layers made, nothing run."""
    planned: list[tuple[Plan, Ledger]] = []

    def stop(plan: Plan, place: str, workers: int, watch: object, specs: dict[str, LayerSpec]) -> Objects:
        for url, spec in specs.items():
            create_layer(url, spec)
        run = Objects(place)
        store_plan(run, plan)
        planned.append((plan, Ledger(run)))
        return run

    patch.setattr(components, "run_small", stop)
    patch.setattr(components, "_counted", lambda plan, ledger: 0)
    source, rules = str(folder / "labels"), ComponentRules(connectivity, LABELS.dust_vx)
    spec = LayerSpec("segmentation", LABELS.values_ZYX.dtype.name, 1, LABELS.bbox, (8, 8, 8), (16, 16, 16))
    create_layer(source, spec).write(LABELS.bbox, LABELS.values_ZYX)
    connected_components(source, str(folder / "out"), rules, chunk_vx=(7, 8, 9))
    return *planned[0], Objects(str(folder / "out"))


def instances(folder: Path, **merge: object) -> tuple[Plan, Ledger]:
    """The plan of a run over overlapping chunks."""
    files_of(folder / "ffn", CHUNKS.chunks, CHUNKS.grid)
    values = values_of(folder / "ffn", CHUNKS.grid)
    values["instances"]["least_vx"] = 1
    values["stages"] = {"relabel": {"chunk_vx": (16, 16, 16)}, "downsample": {"mips": 0}, "merge": merge}
    return stored({"run": str(folder / "run"), "layers": {"chunk_vx": (16, 16, 16)}, **values})


@pytest.fixture
def started(tmp_path: Path) -> Started:
    """Components of each connectivity; instances with a root; instances that end in rounds."""
    out = Started([], [], [])
    for connectivity in CONNECTIVITIES:
        with pytest.MonkeyPatch.context() as patch:
            plan, ledger, result = planned_components(tmp_path / f"c{connectivity}", connectivity, patch)
        out.runs.append((plan, ledger))
        out.results.append(result)
    wanted = finished_here(*instances(tmp_path / "one"))
    for name, merge in (("tree", {}), ("rounds", {"rounds": {"above_level": 1, "partitions": 2, "most": 40}})):
        plan, ledger = instances(tmp_path / name, **merge)
        assert any(tier.kind == "round" for tier in plan.tiers) == (name == "rounds")
        out.runs.append((plan, ledger))
        out.results.append(ledger.run)
        out.wanted.append(wanted)
    return out


def by_two_processes(runs: list[tuple[Plan, Ledger]], folder: Path) -> None:
    """The local engine, one run after the other."""
    engine = LocalEngine(2)
    try:
        for plan, ledger in runs:
            assert Driver(plan, ledger, engine).run().complete
    finally:
        engine.close()


def by_one_queue(runs: list[tuple[Plan, Ledger]], folder: Path) -> None:
    """Two workers of class big and two of class cpu, who take what comes, of whichever run."""
    queues = Queues(file_queue(folder))
    for plan, ledger in runs:
        enqueue_start(plan, ledger, queues, 8, final=True)
    with fleet(queues.url, ["big", "big", "cpu", "cpu"]):
        for _, ledger in runs:
            assert drive(ledger.run.url, queues.url, every_s=1.0).complete


@pytest.mark.parametrize("finish", [by_two_processes, by_one_queue])
def test_components_and_instances_do_not_see_the_engine(
    started: Started, tmp_path: Path, finish: Callable[[list[tuple[Plan, Ledger]], Path], None]
) -> None:
    """Components by 6, 18 and 26 are cc3d's of the whole; instances, by root or rounds, are one process's bytes."""
    finish(started.runs, tmp_path)
    for connectivity, result in zip(CONNECTIVITIES, started.results, strict=False):
        wanted_ZYX = of_the_whole(LABELS.values_ZYX, LABELS.bbox, connectivity, LABELS.dust_vx)
        assert np.array_equal(open_layer(result.url).read_ZYX(LABELS.bbox), wanted_ZYX)
        assert len(np.unique(wanted_ZYX)) > 2
    for run, wanted in zip(started.results[len(CONNECTIVITIES) :], started.wanted, strict=True):
        assert digests(run) == wanted
        assert len(wanted) > 3
