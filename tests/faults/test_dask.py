"""Dask workers and schedulers that die in the middle of tasks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from emseg.pipeline.dask_engine import DaskEngine
from emseg.pipeline.driver import Driver
from emseg.pipeline.execute import message_of
from emseg.pipeline.receipts import Ledger
from emseg.tasks.volume.errors import TransientError

pytestmark = [pytest.mark.fault, pytest.mark.slow]


@pytest.fixture
def engine() -> Iterator[DaskEngine]:
    engine = DaskEngine(None, workers=1)
    yield engine
    engine.close()


def block(path: Path) -> bytes:
    """Replace a stored object by a pipe without a writer, so that its reader waits; the bytes that it held."""
    content = path.read_bytes()
    path.unlink()
    os.mkfifo(path)
    return content


def unblock(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def await_begun(engine: DaskEngine, attempt: str) -> None:
    deadline = time.monotonic() + 30
    while attempt not in engine.begun:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_cluster_here_listens_on_the_loopback_only(engine):
    """No process of a cluster on this machine opens a port to other machines."""
    me = psutil.Process()
    listening = [
        connection.laddr.ip
        for process in (me, *me.children(recursive=True))
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    ]
    assert set(listening) == {"127.0.0.1"}


def test_the_death_of_a_worker_is_an_outcome(case, engine):
    """A worker killed in a task gives one outcome with an error that another attempt may not meet."""
    content = block(case.source_path())
    key = case.first[0]
    engine.submit(key, "a1", message_of(case.plan, case.run.url, key), "cpu")
    await_begun(engine, "a1")
    os.kill(engine.cluster.workers[0].pid, signal.SIGKILL)
    (outcome,) = engine.outcomes(60)
    unblock(case.source_path(), content)
    assert (outcome.key, outcome.error, outcome.permanent, outcome.transient) == (key, "KilledWorker", False, False)


def test_a_killed_worker_costs_one_attempt(case, engine):
    """The task of a killed worker counts one attempt, the task that waited beside it none; the run completes."""
    content = block(case.source_path())
    killed = []

    def kill_once(tally):
        if not killed and engine.begun:
            os.kill(engine.cluster.workers[0].pid, signal.SIGKILL)
            unblock(case.source_path(), content)
            killed.append(True)

    tally = Driver(case.plan, case.ledger, engine, watch=kill_once).run()
    assert tally.complete
    assert not tally.failed
    assert {key: n for key in case.plan.keys() if (n := case.ledger.counted(key))} == {case.first[0]: 1}


@pytest.fixture
def scheduler(tmp_path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A scheduler in a process of its own, without workers, and its address."""
    where = tmp_path / "scheduler.json"
    flags = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(where)]
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", *flags]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not where.exists() or not where.read_text().endswith("}"):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    yield process, json.loads(where.read_text())["address"]
    process.kill()
    process.wait()


def test_a_lost_scheduler_ends_the_run_for_now(case, scheduler):
    """Without its scheduler the driver stops with exit code 75, and no attempt counts."""
    process, address = scheduler
    engine = DaskEngine(address)
    with pytest.raises(TransientError, match="is lost") as caught:
        Driver(case.plan, case.ledger, engine, watch=lambda tally: process.kill()).run()
    engine.close()
    assert caught.value.exit_code == 75
    much_later = Ledger(case.run, lambda: time.time() + 1e9)
    assert all(much_later.counted(key) == 0 for key in case.plan.keys())


def test_a_lost_scheduler_is_noticed_between_tasks(scheduler):
    """An engine with nothing under way says that its scheduler is lost rather than wait for ever."""
    process, address = scheduler
    engine = DaskEngine(address)
    process.kill()
    process.wait()
    with pytest.raises(TransientError, match="is lost"):
        any(engine.outcomes(0.2) for _ in range(100))
    engine.close()
