"""What a run waits for: classes that nobody serves, stitching that nobody asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from faults.queue_runs import SMALL, pyramid

from emseg.pipeline.plan import Plan
from emseg.pipeline.queue_feed import FeedSettings
from emseg.pipeline.receipts import Ledger
from emseg.pipeline.waiting import Waiting, waiting_of


@pytest.fixture
def run(tmp_path: Path) -> tuple[Plan, Ledger]:
    """A queue run of 12 tasks of class cpu, then 2 of class big."""
    plan, ledger = pyramid(f"file://{tmp_path}/run", box=SMALL)
    FeedSettings(9).store(ledger.run)
    first, second = plan.tiers
    return replace(plan, tiers=(first, replace(second, task_class="big"))), ledger


def finish_first(plan: Plan, ledger: Ledger) -> None:
    """Receipts of all tasks of class cpu."""
    for key in plan.tiers[0].keys():
        ledger.finish(key, {"key": key, "outputs": {}})


def test_a_class_that_nobody_serves_is_named(run: tuple[Plan, Ledger]) -> None:
    """With the chunks done by cpu workers, the tasks of class big wait for a worker of that class."""
    plan, ledger = run
    finish_first(plan, ledger)
    count = len(plan.tiers[1].grid)
    waits = waiting_of(plan, ledger)
    assert waits == Waiting({"big": count}, worked_on=False, queued=True)
    said = f"nobody works on {count} ready tasks of class big: start `emseg worker QUEUE --class big`"
    assert waits.lines("run") == [said]


def test_one_live_task_is_enough(run: tuple[Plan, Ledger]) -> None:
    """A class of which somebody holds a task is served; one whose worker fell silent is not."""
    plan, ledger = run
    finish_first(plan, ledger)
    last = list(plan.tiers[1].keys())[-1]
    ledger.begin(last, -1.0, "killed")
    assert waiting_of(plan, ledger).idle
    attempt = ledger.begin(last, 100.0, "alive")
    assert waiting_of(plan, ledger) == Waiting(queued=True)
    ledger.end(last, attempt, "handback")
    assert waiting_of(plan, ledger).idle


def test_failed_tasks_wait_for_nobody(run: tuple[Plan, Ledger]) -> None:
    """What failed for good is no work for a worker."""
    plan, ledger = run
    finish_first(plan, ledger)
    assert waiting_of(plan, ledger, set(plan.tiers[1].keys())).idle == {}


def test_stitching_that_nobody_asked_for_is_named(tmp_path: Path) -> None:
    """On a queue, and only while nobody stitches."""
    plan, ledger = pyramid(f"file://{tmp_path}/run", box=SMALL, final_last=True)
    FeedSettings(9).store(ledger.run)
    finish_first(plan, ledger)
    waits = waiting_of(plan, ledger)
    assert (waits.idle, waits.unasked) == ({}, True)
    assert "`emseg stitch my/run`" in waits.lines("my/run")[0]
    ledger.begin(next(plan.tiers[1].keys()), 100.0, "stitch")
    assert not waiting_of(plan, ledger).unasked
