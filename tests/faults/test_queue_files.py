"""A file queue served by real worker processes that are killed, preempted and fed every message twice."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.queue_runs import (
    SMALL,
    complete,
    digests,
    executing_child,
    inline_worker,
    local_digests,
    pyramid,
    start_worker,
    wait_for,
)

from emseg.pipeline.queue import Queues
from emseg.pipeline.queue_feed import enqueue, enqueue_start

pytestmark = pytest.mark.fault
END_S = 60


@pytest.fixture
def workers() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Worker processes of a test; what is left of them is ended."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Digests of all layer objects after the same run on the local engine."""
    return local_digests(f"file://{tmp_path_factory.mktemp('local')}/run", SMALL)


def test_kills_and_duplicates_do_not_show(
    tmp_path: Path, expected: dict[str, str], workers: list[subprocess.Popen[bytes]]
) -> None:
    """Two workers, every message twice, one parent and one child killed: complete, bytes of the local engine."""
    plan, ledger = pyramid(f"file://{tmp_path}/run", box=SMALL)
    queues = Queues(f"fq://{tmp_path}/queue")
    starting = list(plan.tier["downsample/mip1"].keys())
    for _ in range(2):
        enqueue(plan, ledger, queues, starting)
    workers += [start_worker(queues.url, task_s=0.25) for _ in range(2)]

    wait_for(lambda: len(list(ledger.receipts())) >= 1)
    workers[0].kill()
    wait_for(lambda: any(n.endswith("json") for n in _running(ledger.run.list("attempts"))))
    os.kill(executing_child(workers[1].pid), signal.SIGKILL)

    assert workers[1].wait(END_S) == 0
    assert complete(plan, ledger)
    assert digests(ledger.run.url) == expected
    assert queues.of("cpu").size().total == 0
    assert not [k for k in plan.keys() if ledger.quarantined(k)]


def test_sigterm_hands_back_within_ten_seconds(
    tmp_path: Path, expected: dict[str, str], workers: list[subprocess.Popen[bytes]]
) -> None:
    """A preempted worker shows its message again at once, counts nothing, exits 0; another one ends the run."""
    plan, ledger = pyramid(f"file://{tmp_path}/run", box=SMALL)
    queues = Queues(f"fq://{tmp_path}/queue")
    enqueue_start(plan, ledger, queues, 1)
    workers.append(start_worker(queues.url, task_s=60.0, lease_s=600.0))
    wait_for(lambda: bool(list(ledger.run.list("attempts"))))

    start_s = time.monotonic()
    workers[0].terminate()
    assert workers[0].wait(END_S) == 0
    assert time.monotonic() - start_s < 10
    key = next(plan.keys())
    assert ledger.counted(key) == 0
    assert [n.rsplit(".", 1)[1] for n in ledger.run.list(f"attempts/{key}")] == ["handback", "json"]
    assert queues.of("cpu").size().waiting == 1

    worker = inline_worker(queues)
    while worker.step():
        pass
    assert complete(plan, ledger)
    assert digests(ledger.run.url) == expected


def test_a_task_that_kills_its_process_is_quarantined_and_the_rest_is_done(
    tmp_path: Path, workers: list[subprocess.Popen[bytes]]
) -> None:
    """A poison task takes three children with it, then leaves the queue; the worker lives and ends all others."""
    plan, ledger = pyramid(f"file://{tmp_path}/run", box=SMALL)
    queues = Queues(f"fq://{tmp_path}/queue")
    poison = list(plan.keys())[5]
    enqueue_start(plan, ledger, queues, 100)
    workers.append(start_worker(queues.url, crash=poison, lease_s=4.0))
    assert workers[0].wait(END_S) == 0
    blocked = {poison, *plan.dependants(poison)}
    assert {k for k in plan.keys() if not ledger.exists(k)} == blocked
    assert ledger.quarantined(poison)
    assert [f["error"] for f in ledger.failures(poison)] == ["EmsegError"] * 3
    assert queues.of("cpu").size().total == 0


def _running(names: Iterator[str]) -> list[str]:
    """Attempt records without an end."""
    found = list(names)
    ended = {n.rsplit(".", 1)[0] for n in found if n.endswith((".fed", ".error", ".handback"))}
    return [n for n in found if n.rsplit(".", 1)[0] not in ended]
