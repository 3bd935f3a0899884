"""The Dask engine gives the receipts that any engine gives, and says when the scheduler is gone."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from types import SimpleNamespace

import dask
import pytest
from distributed import KilledWorker, LocalCluster

from emseg.pipeline.dask_engine import DaskEngine
from emseg.pipeline.driver import Driver
from emseg.pipeline.execute import message_of
from emseg.pipeline.plan import Plan
from emseg.tasks.volume.errors import ConfigError, TransientError


@pytest.fixture(scope="module")
def scheduler() -> Iterator[LocalCluster]:
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=False,
            protocol="tcp",
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            resources={"GPU": 1},
        ) as cluster,
    ):
        yield cluster


@pytest.fixture
def engine(scheduler) -> Iterator[DaskEngine]:
    engine = DaskEngine(scheduler.scheduler_address)
    yield engine
    engine.close()


def test_a_plan_runs_to_its_end_on_a_scheduler(case, engine):
    """Every task of a plan has a receipt after the driver ran it on an outside scheduler."""
    tally = Driver(case.plan, case.ledger, engine).run()
    assert tally.complete
    assert all(case.ledger.exists(key) for key in case.plan.keys())


def test_the_window_is_twice_the_threads(case, engine):
    """Two tasks may be given to one thread; then no more are taken until one ends."""
    assert engine.free == 2
    for key in case.first[:2]:
        engine.submit(key, case.ledger.begin(key, 60, "test"), message_of(case.plan, case.run.url, key), "cpu")
    assert engine.free == 0


def test_gpu_tasks_run_where_a_gpu_is(case, engine):
    """A task of class gpu runs on a worker with the resource GPU."""
    key = case.first[0]
    engine.submit(key, "a1", message_of(case.plan, case.run.url, key), "gpu")
    (outcome,) = engine.outcomes(30)
    assert (outcome.key, outcome.attempt, outcome.receipt["key"]) == (key, "a1", key)


def test_gpu_tasks_without_a_gpu_are_announced(case, capsys):
    """A task of class gpu on a scheduler without GPU workers waits, and a warning says why."""
    with LocalCluster(
        n_workers=1, processes=False, protocol="tcp", host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as bare:
        engine = DaskEngine(bare.scheduler_address)
        engine.submit(case.first[0], "a1", message_of(case.plan, case.run.url, case.first[0]), "gpu")
        assert engine.outcomes(0.2) == []
        engine.close()
    assert "--resources GPU=1" in capsys.readouterr().err


def test_a_scheduler_without_workers_is_announced(case, capsys, monkeypatch):
    """A run that waits for workers says so, once, after a while."""
    monkeypatch.setattr("emseg.pipeline.dask_engine.LONELY_S", 0.2)
    monkeypatch.setattr("emseg.pipeline.dask_engine.COUNT_EVERY_S", 0.0)
    with LocalCluster(
        n_workers=0, processes=False, protocol="tcp", host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as bare:
        engine = DaskEngine(bare.scheduler_address)
        assert engine.free == 1
        assert capsys.readouterr().err == ""
        for _ in range(3):
            time.sleep(0.15)
            assert engine.free == 1
        engine.close()
    assert capsys.readouterr().err.count("no worker at tcp://127.0.0.1") == 1


@pytest.mark.parametrize("address", ["nonsense", "http://host:1", "tcp://host", ""])
def test_what_is_no_address_is_bad_usage(address):
    """An address that no scheduler can have is refused, not waited for."""
    with pytest.raises(ConfigError, match="tcp://host:port"):
        DaskEngine(address)


def test_a_task_that_waited_is_not_blamed_for_its_worker(case, engine):
    """A killed worker is blamed on a task that had begun; one that only waited there is handed back."""
    killed = KilledWorker("a", SimpleNamespace(address="tcp://lost:1"), 0)
    for attempt, begun in (("a1", True), ("a2", False)):
        future = SimpleNamespace(status="error", exception=lambda timeout: killed)
        engine.pending[attempt] = (case.first[0], future)
        if begun:
            engine.begun.add(attempt)
        outcome = engine._outcome(attempt)
        assert (outcome.transient, outcome.permanent) == (not begun, False)


def test_a_worker_says_that_it_begins(case, engine):
    """The engine knows of a task that runs that it has begun, and forgets it when it ends."""
    content = case.source_path().read_bytes()
    case.source_path().unlink()
    os.mkfifo(case.source_path())
    key = case.first[0]
    engine.submit(key, "a1", message_of(case.plan, case.run.url, key), "cpu")
    deadline = time.monotonic() + 30
    while "a1" not in engine.begun:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    case.source_path().write_bytes(content)  # the reader of the pipe goes on
    assert engine.outcomes(30)[0].receipt is not None
    assert engine.begun == set()


def test_an_error_of_a_task_is_an_outcome(case, engine):
    """An error on a worker comes back with its name, its message and whether it is permanent."""
    case.source_path().unlink()
    key = case.first[0]
    engine.submit(key, "a1", message_of(case.plan, case.run.url, key), "cpu")
    (outcome,) = engine.outcomes(30)
    assert outcome.receipt is None
    assert (outcome.error, outcome.permanent) == ("CorruptChunkError", True)
    assert "is missing" in outcome.message


def test_a_message_of_another_plan_is_refused_on_the_worker(case, engine):
    """A worker refuses a message whose plan is not the run directory's."""
    key = case.first[0]
    other = Plan(case.plan.layers, case.plan.tiers, {"model": "0" * 64})
    engine.submit(key, "a1", message_of(other, case.run.url, key), "cpu")
    (outcome,) = engine.outcomes(30)
    assert (outcome.error, outcome.permanent) == ("MessageError", True)


def test_an_absent_scheduler_is_temporary(monkeypatch):
    """No scheduler at the address is an error with exit code 75 that names the address."""
    monkeypatch.setattr("emseg.pipeline.dask_engine.CONNECT_S", 0.5)
    with pytest.raises(TransientError, match=r"tcp://127\.0\.0\.1:9 .*dask scheduler") as caught:
        DaskEngine("tcp://127.0.0.1:9")
    assert caught.value.exit_code == 75
