"""The sweeper of queue runs: what it puts back, and what it leaves alone."""

from pathlib import Path

import pytest
from faults.queue_runs import SMALL, complete, inline_worker, pyramid

from emseg.pipeline.drive import Sweeper, drive, repair
from emseg.pipeline.plan import Plan
from emseg.pipeline.queue import Queues
from emseg.pipeline.queue_census import Census
from emseg.pipeline.queue_feed import FeedSettings, enqueue_start
from emseg.pipeline.receipts import Ledger
from emseg.tasks.volume.errors import LayerError, NotDeterministicError


@pytest.fixture
def run(tmp_path: Path) -> tuple[Plan, Ledger, Queues]:
    return (*pyramid(f"file://{tmp_path}/run", box=SMALL), Queues(f"fq://{tmp_path}/queue"))


def test_refills_empty_queues_up_to_the_window(run: tuple[Plan, Ledger, Queues]) -> None:
    """After a purge the ready holes are enqueued again, never more than the window."""
    plan, ledger, queues = run
    FeedSettings(5).store(ledger.run)
    sweeper = Sweeper(plan, ledger, queues)
    assert sweeper.sweep().enqueued == 5
    assert sweeper.sweep().enqueued == 0
    assert queues.of("cpu").size().total == 5


def test_leaves_a_healthy_queue_alone(run: tuple[Plan, Ledger, Queues]) -> None:
    """While every ready task of the window has its message nothing is added."""
    plan, ledger, queues = run
    starting = len(plan.tier["downsample/mip1"].grid)
    enqueue_start(plan, ledger, queues, starting)
    sweeper = Sweeper(plan, ledger, queues)
    assert [sweeper.sweep().enqueued for _ in range(3)] == [0, 0, 0]


def test_a_single_shortfall_is_not_trusted(run: tuple[Plan, Ledger, Queues]) -> None:
    """With messages waiting, a hole is filled when it was seen twice; repair() does so at once."""
    plan, ledger, queues = run
    starting = len(plan.tier["downsample/mip1"].grid)
    enqueue_start(plan, ledger, queues, starting)
    leased = queues.of("cpu").lease(60)
    assert leased is not None
    queues.of("cpu").ack(leased.handle)
    sweeper = Sweeper(plan, ledger, queues)
    assert [sweeper.sweep().enqueued for _ in range(3)] == [0, 1, 0]


def test_repair_heals_a_cut_chain(run: tuple[Plan, Ledger, Queues]) -> None:
    """Losing every message in mid-run is healed: the run ends complete."""
    plan, ledger, queues = run
    enqueue_start(plan, ledger, queues, 3)
    worker = inline_worker(queues)
    for _ in range(4):
        worker.step()
    while leased := queues.of("cpu").lease(60):
        queues.of("cpu").ack(leased.handle)
    assert not complete(plan, ledger)
    while not complete(plan, ledger):
        assert repair(ledger.run.url, queues.url).enqueued > 0
        while worker.step():
            pass


def test_live_and_quarantined_tasks_are_no_holes(run: tuple[Plan, Ledger, Queues]) -> None:
    """A task that someone works on, or that failed for good, is not enqueued; the sweep names the latter."""
    plan, ledger, queues = run
    live, bad = list(plan.keys())[:2]
    ledger.begin(live, 100.0, "someone")
    ledger.failed(bad, LayerError("gone"))
    sweep = Sweeper(plan, ledger, queues).sweep()
    assert (sweep.live, sweep.quarantined) == (1, (bad,))
    assert sweep.holes == len(plan.tier["downsample/mip1"].grid) - 2 == sweep.enqueued


def test_drive_returns_when_only_quarantine_is_left(run: tuple[Plan, Ledger, Queues]) -> None:
    """drive() ends stuck, with the reason, when everything left waits for a quarantined task."""
    plan, ledger, queues = run
    keys = list(plan.tier["downsample/mip1"].keys())
    for key in keys:
        ledger.failed(key, LayerError("gone"))
    sweep = drive(ledger.run.url, queues.url, every_s=0.01)
    assert sweep.stuck
    assert not sweep.complete
    assert len(sweep.quarantined) == len(keys)


def test_drive_returns_when_all_is_done(run: tuple[Plan, Ledger, Queues]) -> None:
    """drive() of a finished run adds nothing and says complete."""
    plan, ledger, queues = run
    for key in plan.keys():
        ledger.finish(key, {"key": key, "outputs": {}})
    sweep = drive(ledger.run.url, queues.url, window=7)
    assert sweep.complete
    assert queues.of("cpu").size().total == 0
    assert FeedSettings.load(ledger.run).window == 7


def test_census_counts_by_stage(run: tuple[Plan, Ledger, Queues]) -> None:
    """The census counts receipts by stage and finds every ready task exactly once."""
    plan, ledger, _ = run
    keys = list(plan.tier["downsample/mip1"].keys())
    ledger.finish(keys[0], {"key": keys[0], "outputs": {}})
    census = Census(plan, ledger, list(plan.tiers))
    assert census.done == {"downsample": 1}
    assert census.planned == plan.planned()
    assert sorted(census.ready()) == sorted(keys[1:])


def test_stitching_stays_asked_for(tmp_path: Path) -> None:
    """Planning again and driving again without a word keep what --stitch said; a plain no takes it back."""
    plan, ledger = pyramid(f"file://{tmp_path}/run", box=SMALL, final_last=True)
    queues = Queues(f"fq://{tmp_path}/queue")
    for key in plan.keys():
        ledger.finish(key, {"key": key, "outputs": {}})
    drive(ledger.run.url, queues.url, final=True)
    enqueue_start(plan, ledger, queues, 9)
    assert FeedSettings.load(ledger.run) == FeedSettings(9, final=True)
    drive(ledger.run.url, queues.url)
    assert FeedSettings.load(ledger.run).final
    drive(ledger.run.url, queues.url, final=False)
    assert not FeedSettings.load(ledger.run).final


def test_a_sweep_says_what_nobody_asked_for(tmp_path: Path) -> None:
    """With the chunks done and stitching not asked for, the sweep is complete but names the tasks that are left."""
    plan, ledger = pyramid(f"file://{tmp_path}/run", box=SMALL, final_last=True)
    queues = Queues(f"fq://{tmp_path}/queue")
    for key in plan.tier["downsample/mip1"].keys():
        ledger.finish(key, {"key": key, "outputs": {}})
    sweep = drive(ledger.run.url, queues.url)
    assert (sweep.complete, sweep.unasked) == (True, len(plan.tier["downsample/mip2"].grid))
    FeedSettings(9, final=True).store(ledger.run)
    sweep = Sweeper(plan, ledger, queues).sweep()
    assert (sweep.complete, sweep.unasked) == (False, 0)


def test_a_contradicted_task_is_not_driven_to_its_end(run: tuple[Plan, Ledger, Queues]) -> None:
    """drive() of a run whose receipts are all there, one of them contradicted, ends stuck and names it."""
    plan, ledger, queues = run
    keys = list(plan.keys())
    for key in keys:
        ledger.finish(key, {"key": key, "outputs": {}})
    with pytest.raises(NotDeterministicError):
        ledger.finish(keys[4], {"key": keys[4], "outputs": {"x": "other"}})
    sweep = drive(ledger.run.url, queues.url)
    assert (sweep.complete, sweep.stuck, sweep.contradicted) == (False, True, (keys[4],))


def test_a_sweep_leaves_a_reason_for_lost_workers(run: tuple[Plan, Ledger, Queues]) -> None:
    """A task over which three workers fell silent is given up by the sweep, for status to show."""
    plan, ledger, queues = run
    key = next(plan.keys())
    for _ in range(3):
        ledger.begin(key, -1.0, "killed")
    assert Sweeper(plan, ledger, queues).sweep().quarantined == (key,)
    assert [f["error"] for f in ledger.failures(key)] == ["WorkerLostError"]
