"""The commands of a queue run as a person or a script meets them: bounds, counts, exit codes, what is left to do."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
import typer
from faults.queue_runs import SMALL, pyramid
from typer.testing import CliRunner, Result

from emseg.pipeline import cli_run
from emseg.pipeline.execute import execute
from emseg.pipeline.plan import Plan
from emseg.pipeline.queue import Queues
from emseg.pipeline.queue_feed import FeedSettings, enqueue_start
from emseg.pipeline.queue_signals import Stop
from emseg.pipeline.receipts import Ledger
from emseg.tasks.volume.errors import LayerError, NotDeterministicError

END = ("--stop-when-empty-s", "0.1")


@pytest.fixture(autouse=True)
def same_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Commands set the log level of their process; put it back."""
    monkeypatch.setenv("EMSEG_LOG_LEVEL", "40")
    yield
    structlog.reset_defaults()


@pytest.fixture
def run(tmp_path: Path) -> tuple[Plan, Ledger, Queues]:
    return (*pyramid(f"file://{tmp_path}/run", box=SMALL, final_last=True), Queues(f"fq://{tmp_path}/queue"))


def emseg(*arguments: str) -> Result:
    """Run a command in this process."""
    app = typer.Typer(rich_markup_mode=None)
    cli_run.register(app)
    return CliRunner().invoke(app, arguments)


def finish_chunks(plan: Plan, ledger: Ledger) -> None:
    """Do all but the tasks of stitching."""
    for key in plan.tier["downsample/mip1"].keys():
        ledger.finish(key, execute(plan, ledger.run, plan.task(key)))


@pytest.mark.parametrize(
    "arguments",
    [
        ("worker", "fq://q", "--lease-s", "0"),
        ("worker", "fq://q", "--lease-s", "9"),
        ("worker", "fq://q", "--lease-s", "43201"),
        ("worker", "fq://q", "--task-limit-s", "0"),
        ("worker", "fq://q", "--stop-when-empty-s", "-1"),
        ("drive", "run", "--queue", "fq://q", "--every-s", "0"),
    ],
)
def test_times_have_bounds(arguments: tuple[str, ...]) -> None:
    """A lease of nothing, or longer than SQS keeps one, is bad usage: exit code 2 with the range."""
    done = emseg(*arguments)
    assert done.exit_code == 2
    assert "than or equal to" in done.output or "not in the range" in done.output


def test_a_worker_counts_what_it_did(run: tuple[Plan, Ledger, Queues]) -> None:
    """A worker that ends says what became of its messages, and exits 0 when all went well."""
    plan, ledger, queues = run
    enqueue_start(plan, ledger, queues, 3)
    queues.of("cpu").insert(["no task"])
    done = emseg("worker", queues.url, *END, "--json")
    assert done.exit_code == 0, done.output
    served = json.loads(done.stdout.splitlines()[-1])
    assert (served["done"], served["dead"]) == (len(plan.tier["downsample/mip1"].grid), 1)


def test_a_worker_that_gave_a_task_up_exits_1(run: tuple[Plan, Ledger, Queues]) -> None:
    """Whoever waits for a worker learns that a task failed for good."""
    plan, ledger, queues = run
    (next(Path(ledger.run.url.removeprefix("file://")).glob("layers/image/8_8_40/*"))).unlink()
    enqueue_start(plan, ledger, queues, 100)
    done = emseg("worker", queues.url, *END)
    assert (done.exit_code, "given up 1" in done.stdout) == (1, True), done.output
    assert len(list(ledger.failed_keys())) == 1


def test_a_worker_logs_from_info_on(run: tuple[Plan, Ledger, Queues], monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers run unwatched: each task leaves a line, and child processes learn the level."""
    plan, ledger, queues = run
    enqueue_start(plan, ledger, queues, 100)
    done = emseg("worker", queues.url, *END)
    assert (done.stdout + done.stderr).count("task done") == len(plan.tier["downsample/mip1"].grid)
    assert int(os.environ["EMSEG_LOG_LEVEL"]) == logging.INFO


def test_drive_says_that_stitching_was_not_asked_for(run: tuple[Plan, Ledger, Queues]) -> None:
    """Complete chunks exit 0, and the last line says what to do next; JSON says how many tasks nobody asked for."""
    plan, ledger, queues = run
    finish_chunks(plan, ledger)
    done = emseg("drive", ledger.run.url, "--queue", queues.url)
    assert (done.exit_code, "stitching not asked for: `emseg stitch" in done.stdout) == (0, True)
    values = json.loads(emseg("drive", ledger.run.url, "--queue", queues.url, "--json").stdout.splitlines()[-1])
    assert (values["complete"], values["unasked"]) == (True, len(plan.tier["downsample/mip2"].grid))


def test_drive_says_once_what_is_done(run: tuple[Plan, Ledger, Queues]) -> None:
    """Stage by stage, for people."""
    plan, ledger, queues = run
    finish_chunks(plan, ledger)
    said = emseg("drive", ledger.run.url, "--queue", queues.url).output
    count = len(plan.tier["downsample/mip1"].grid)
    assert said.count(f"downsample {count}/{count}") == 1
    assert "{" not in said


def test_a_stopped_drive_says_who_goes_on(run: tuple[Plan, Ledger, Queues], monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that is stopped before the end exits 1 and names the command that goes on."""
    _, ledger, queues = run
    monkeypatch.setattr(Stop, "wait", lambda stop, *given: stop.request())
    done = emseg("drive", ledger.run.url, "--queue", queues.url)
    assert (done.exit_code, "stopped; workers go on, and so does the same command: emseg" in done.stdout) == (1, True)


def test_drive_without_a_word_keeps_stitching(run: tuple[Plan, Ledger, Queues]) -> None:
    """Starting `drive` again without --stitch does not take stitching back; --no-stitch does."""
    plan, ledger, queues = run
    for key in plan.keys():
        ledger.finish(key, {"key": key, "outputs": {}})
    command = ("drive", ledger.run.url, "--queue", queues.url)
    for option, final in ((("--stitch",), True), ((), True), (("--no-stitch",), False), ((), False)):
        assert emseg(*command, *option).exit_code == 0
        assert FeedSettings.load(ledger.run).final == final


def test_status_is_not_content_with_other_bytes(run: tuple[Plan, Ledger, Queues]) -> None:
    """A run whose receipts are all there, one of them contradicted, exits 1 until a retry has made it again."""
    plan, ledger, _ = run
    keys = list(plan.keys())
    for key in keys:
        ledger.finish(key, {"key": key, "outputs": {}, "run": {"finished_s": 1.0}})
    with pytest.raises(NotDeterministicError):
        ledger.finish(keys[3], {"key": keys[3], "outputs": {"x": "other"}})
    done = emseg("status", ledger.run.url)
    assert (done.exit_code, f"failed {keys[3]}" in done.stdout, "complete" in done.stdout) == (1, True, False)
    done = emseg("status", ledger.run.url, "--retry", "--json")
    assert (done.exit_code, json.loads(done.stdout)["missing"]["downsample"]) == (0, 1)


def test_status_gives_no_time_where_nobody_works(run: tuple[Plan, Ledger, Queues]) -> None:
    """Neither before anything is done, nor when what is left waits for somebody to start it."""
    plan, ledger, _ = run
    keys = list(plan.tier["downsample/mip1"].keys())
    assert emseg("status", ledger.run.url).stdout.splitlines()[-1] == "time left: unknown"
    ledger.finish(keys[0], {"key": keys[0], "outputs": {}, "run": {"finished_s": 1.0}})
    said = emseg("status", ledger.run.url).stdout.splitlines()
    idle = f"nobody works on {len(keys) - 1} ready tasks of class cpu: the command that started it goes on"
    assert said[-2:] == [idle, "time left: unknown"]
    ledger.begin(keys[1], 100.0, "someone")
    assert emseg("status", ledger.run.url).stdout.splitlines()[-1].startswith("about ")


def test_status_retries_lost_workers_that_nobody_noticed(run: tuple[Plan, Ledger, Queues]) -> None:
    """--retry forgives a task over which three workers fell silent, though no failure was recorded."""
    plan, ledger, _ = run
    key, other = list(plan.keys())[:2]
    for _ in range(3):
        ledger.begin(key, -1.0, "killed")
    ledger.failed(other, LayerError("gone"))
    assert emseg("status", ledger.run.url, "--retry").exit_code == 0
    assert not ledger.quarantined(key)
    assert not ledger.quarantined(other)
