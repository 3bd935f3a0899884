"""A run over its root's budget finishes by rounds on every engine, disturbed: each time the bytes of the tree alone."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from conftest import Cloud
from faults.queue_runs import wait_for
from faults.stitched_runs import (
    ROUNDS,
    digests,
    file_queue,
    finish_by_queue,
    finished_here,
    fleet,
    planned,
    tiny_affinities,
)

from emseg.pipeline.config import Engine
from emseg.pipeline.driver import Driver
from emseg.pipeline.local import LocalEngine
from emseg.pipeline.plan import Plan
from emseg.pipeline.receipts import Ledger
from emseg.pipeline.runner import run_plan
from emseg.pipeline.status import status_of

pytestmark = [pytest.mark.fault, pytest.mark.slow]

VICTIM = "rounds/R9/1_0_0"


@pytest.fixture(scope="module")
def affinities(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_affinities(str(tmp_path_factory.mktemp("affinities") / "layer"))


@pytest.fixture(scope="module")
def expected(affinities: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Digests of both layers of a run with a root, by one process."""
    plan, ledger = planned(str(tmp_path_factory.mktemp("tree") / "run"), affinities)
    assert "merge/L3" in plan.tier
    assert not any(tier.kind == "round" for tier in plan.tiers)
    return finished_here(plan, ledger)


def over_budget(run: Path, affinities: str) -> tuple[Plan, Ledger]:
    """The same run, whose tree ends early."""
    plan, ledger = planned(str(run), affinities, **ROUNDS)
    assert "merge/L2" not in plan.tier
    assert len(plan.tier["rounds/R0"].grid) == 2
    return plan, ledger


def require_equal(plan: Plan, ledger: Ledger, expected: dict[str, str]) -> None:
    """Complete, nothing given up, and both layers to the byte."""
    state = status_of(plan, ledger)
    assert state.complete
    assert not any(state.failed.values())
    assert len(expected) > 3
    assert digests(ledger.run) == expected


def test_two_local_processes_one_killed_in_a_round(affinities: str, expected: dict[str, str], tmp_path: Path) -> None:
    """The child that has a task of a round is killed; the task runs again and nothing shows."""
    plan, ledger = over_budget(tmp_path / "run", affinities)
    engine, killed = LocalEngine(2), list[str]()
    given = engine.submit

    def submit(key: str, attempt: str, message: str, task_class: str) -> None:
        given(key, attempt, message, task_class)
        if key == VICTIM and not killed:
            (child,) = (c for c in engine.children if c.key == key)
            os.kill(child.process.pid, signal.SIGKILL)
            killed.append(key)

    engine.submit = submit  # type: ignore[method-assign]
    try:
        assert Driver(plan, ledger, engine).run().complete
    finally:
        engine.close()
    assert killed == [VICTIM]
    require_equal(plan, ledger, expected)


def test_two_workers_of_a_file_queue_one_killed_in_a_round(
    affinities: str, expected: dict[str, str], tmp_path: Path
) -> None:
    """A worker dies by SIGKILL with its child inside a task of a round; two others finish."""
    plan, ledger = over_budget(tmp_path / "run", affinities)
    queue = file_queue(tmp_path)

    def one_dies() -> None:
        with fleet(queue, ["big", "cpu"], crash=VICTIM, task_limit_s=60.0) as (big, _):
            wait_for(lambda: ledger.counted(VICTIM) > 0, 60)
            big.kill()

    finish_by_queue(plan, ledger, queue, one_dies)
    require_equal(plan, ledger, expected)
    assert ledger.counted(VICTIM) > 0


def test_two_workers_of_an_sqs_queue(affinities: str, expected: dict[str, str], tmp_path: Path, cloud: Cloud) -> None:
    """Messages through SQS, layers on disk."""
    plan, ledger = over_budget(tmp_path / "run", affinities)
    finish_by_queue(plan, ledger, "sqs://rounds")
    require_equal(plan, ledger, expected)


def test_two_dask_processes(affinities: str, expected: dict[str, str], tmp_path: Path) -> None:
    """A Dask cluster of two worker processes."""
    plan, ledger = over_budget(tmp_path / "run", affinities)
    run_plan(plan, ledger.run, Engine(kind="dask", workers=2))
    require_equal(plan, ledger, expected)
