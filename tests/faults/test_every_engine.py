"""One run from an image to its coarser mips, on every engine, disturbed: each time the bytes of the undisturbed run."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from faults.queue_runs import executing_child, start_worker, twice, wait_for
from moto.server import ThreadedMotoServer
from tiny import tiny_image, tiny_model

from emseg.pipeline.check import check_run
from emseg.pipeline.config import Engine, RunConfig
from emseg.pipeline.dask_engine import DaskEngine
from emseg.pipeline.drive import drive
from emseg.pipeline.driver import Driver, Tally
from emseg.pipeline.local import LocalEngine
from emseg.pipeline.plan import Plan
from emseg.pipeline.planner import plan_run
from emseg.pipeline.queue import Queues
from emseg.pipeline.queue_feed import enqueue_start
from emseg.pipeline.receipts import Ledger
from emseg.pipeline.runner import run_plan, stitch
from emseg.pipeline.status import status_of
from emseg.tasks.volume.objects import Objects

pytestmark = [pytest.mark.fault, pytest.mark.slow]

PROMISED = ("affinities", "fragments", "segmentation")
STAGES = {
    "predict": {"chunk_vx": (32, 16, 32)},
    "fragment": {"chunk_vx": (23, 40, 19)},
    "merge": {"min_size_vx": 30, "threshold": "0.45"},
    "relabel": {"chunk_vx": (16, 48, 32), "dust_vx": 20},
}
BUCKET = "emseg-every-engine"


@dataclass
class Small:
    """Image and model that every run of this page starts from."""

    image: str
    model: str

    def planned(self, run_url: str) -> tuple[Plan, Ledger]:
        """A run directory with the plan in it; the same plan each time."""
        stages = {**STAGES, "predict": {**STAGES["predict"], "model": self.model}}
        layers = {"chunk_vx": (16, 16, 16)}
        config = RunConfig.model_validate(
            {"run": run_url, "source": {"layer": self.image}, "layers": layers, "stages": stages}
        )
        planned = plan_run(config)
        run, _ = planned.stored(run_url)
        return planned.plan, Ledger(run)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    folder = tmp_path_factory.mktemp("small")
    return Small(tiny_image(str(folder / "image")), tiny_model(folder))


@pytest.fixture(scope="module")
def expected(small: Small, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Digests of the promised layers after one undisturbed process."""
    plan, ledger = small.planned(str(tmp_path_factory.mktemp("one") / "run"))
    run_plan(plan, ledger.run, Engine(workers=1))
    found = promised(ledger.run)
    assert len(plan.tier["fragment"].grid) == 6
    assert {key.split("/")[1] for key in found} == set(PROMISED)
    return found


def promised(run: Objects) -> dict[str, str]:
    """Digest of every stored object of the promised layers, `info` and coarser mips included."""
    keys = [key for name in PROMISED for key in run.list(f"layers/{name}")]
    return {key: stored.digest for key in keys if (stored := run.get_stored(key))}


def require_whole(plan: Plan, ledger: Ledger, expected: dict[str, str]) -> None:
    """The law of this page: complete, sound, and not a byte different."""
    state = status_of(plan, ledger)
    assert state.complete
    assert state.done == plan.planned()
    assert not any(state.failed.values())
    assert check_run(plan, ledger).sound
    assert promised(ledger.run) == expected


@pytest.mark.parametrize("workers", [1, 2])
def test_local_processes_one_of_them_killed(
    small: Small, expected: dict[str, str], tmp_path: Path, workers: int
) -> None:
    """A child is killed while it works, the driver is lost and another one resumes: nothing shows."""
    plan, ledger = small.planned(str(tmp_path / "run"))
    for limit in (3, 9):  # two drivers that are lost in mid-run
        engine = LocalEngine(workers)
        killed = _killing_one(engine, 2)
        with pytest.raises(KeyboardInterrupt):
            Driver(plan, ledger, engine, watch=_lost_after(limit)).run()
        engine.close()
        assert len(killed) == 1
    run_plan(plan, ledger.run, Engine(workers=workers))
    require_whole(plan, ledger, expected)


def _killing_one(engine: LocalEngine, number: int) -> list[str]:
    """Kill the child that gets submission `number`, as soon as it has it; its key comes to stand in the list."""
    given, killed, count = engine.submit, list[str](), itertools.count(1)

    def submit(key: str, attempt: str, message: str, task_class: str) -> None:
        given(key, attempt, message, task_class)
        if next(count) == number:
            (child,) = (c for c in engine.children if c.key == key)
            os.kill(child.process.pid, signal.SIGKILL)
            killed.append(key)

    engine.submit = submit  # type: ignore[method-assign]
    return killed


def _lost_after(limit: int) -> Callable[[Tally], None]:
    """A watcher with which the driver is lost after so many tasks."""

    def watch(tally: Tally) -> None:
        if sum(tally.done.values()) >= limit:
            raise KeyboardInterrupt

    return watch


@pytest.fixture
def workers() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes of a test; what is left of them is ended."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """S3 and SQS on the loopback, for this process and the workers that it starts."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_SQS"):
            patch.delenv(name, raising=False)
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield f"s3://{BUCKET}"
    server.stop()


@pytest.mark.parametrize("kind", ["fq", "sqs"])
def test_two_queue_workers_every_message_twice_both_killed(
    small: Small,
    expected: dict[str, str],
    tmp_path: Path,
    workers: list[subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    kind: str,
) -> None:
    """Files, or S3 and SQS; duplicates of every message; a worker, a child, the whole fleet killed: nothing shows."""
    home = f"file://{tmp_path}" if kind == "fq" else request.getfixturevalue("bucket")
    queues = Queues(f"fq://{tmp_path}/queue" if kind == "fq" else "sqs://every-engine")
    plan, ledger = small.planned(f"{home}/run")
    monkeypatch.setattr(Queues, "insert", twice(Queues.insert))
    assert enqueue_start(plan, ledger, queues, 5) == 5

    def fleet(task_s: float) -> list[subprocess.Popen[bytes]]:
        options = {"lease_s": 3.0, "stop_when_empty_s": None, "idle_cap_s": 0.3, "twice": True, "task_s": task_s}
        started = [start_worker(queues.url, **options) for _ in range(2)]
        workers.extend([*started, start_worker(queues.url, task_class="big", **options)])
        return started

    first, second = fleet(task_s=0.5)
    wait_for(lambda: _receipts(ledger) >= 2)
    first.kill()
    os.kill(executing_child(second.pid), signal.SIGKILL)
    wait_for(lambda: _receipts(ledger) >= 4)
    for process in workers:
        process.kill()
    fleet(task_s=0.0)
    sweep = drive(ledger.run.url, queues.url, final=True, every_s=2.0)
    assert sweep.complete
    require_whole(plan, ledger, expected)


def _receipts(ledger: Ledger) -> int:
    return len(list(ledger.receipts()))


def test_two_dask_workers_of_a_scheduler_elsewhere_one_killed(
    small: Small, expected: dict[str, str], tmp_path: Path, workers: list[subprocess.Popen[bytes]]
) -> None:
    """Scheduler and workers are processes of their own; one worker is killed, the driver is lost: nothing shows."""
    plan, ledger = small.planned(str(tmp_path / "run"))
    address = _scheduler(tmp_path / "scheduler.json", workers)
    flags = ["--nworkers", "1", "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1", "--death-timeout", "60"]
    pair = [_started("dask_worker", address, *flags, "--local-directory", str(tmp_path / str(i))) for i in range(2)]
    workers.extend(pair)

    engine = DaskEngine(address)
    engine.client.wait_for_workers(2, timeout=60)
    with pytest.raises(KeyboardInterrupt):
        Driver(plan, ledger, engine, watch=_killing(pair[0])).run()
    engine.close()
    dask = Engine(kind="dask", address=address)
    run_plan(plan, ledger.run, dask, wanted=lambda tier: not tier.final)
    stitch(plan, ledger.run, dask)
    require_whole(plan, ledger, expected)


def _killing(victim: subprocess.Popen[bytes]) -> Callable[[Tally], None]:
    def watch(tally: Tally) -> None:
        done = sum(tally.done.values())
        if done >= 2:
            os.killpg(victim.pid, signal.SIGKILL)
        if done >= 6:
            raise KeyboardInterrupt

    return watch


def _scheduler(where: Path, workers: list[subprocess.Popen[bytes]]) -> str:
    process = _started(
        "dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(where)
    )
    workers.append(process)
    end_s = time.monotonic() + 60
    while not where.exists() or not where.read_text().endswith("}"):
        assert process.poll() is None
        assert time.monotonic() < end_s
        time.sleep(0.1)
    return str(json.loads(where.read_text())["address"])


def _started(program: str, *flags: str) -> subprocess.Popen[bytes]:
    """A Dask process in a group of its own: a worker's nanny is killed with it."""
    environ = os.environ | {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
    command = [sys.executable, "-m", f"distributed.cli.{program}", *flags]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environ, start_new_session=True)
