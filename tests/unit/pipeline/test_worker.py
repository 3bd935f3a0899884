"""The parent of a queue worker: what it does with each kind of message, and how it ends a task."""

import errno
import json
import os
import random
import time
from pathlib import Path
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError, EndpointConnectionError
from faults.queue_runs import SMALL, complete, inline_worker, pyramid
from google.api_core.exceptions import RetryError

from emseg.pipeline.execute import message_of
from emseg.pipeline.heartbeat import Heartbeat
from emseg.pipeline.plan import Plan
from emseg.pipeline.queue import Queues
from emseg.pipeline.queue_envelope import unpack
from emseg.pipeline.queue_feed import FeedSettings, enqueue, enqueue_after, enqueue_start
from emseg.pipeline.queue_fleet import chosen_devices, serve_device, supervise
from emseg.pipeline.queue_message import Leased
from emseg.pipeline.queue_trouble import is_poison
from emseg.pipeline.receipts import Ledger
from emseg.pipeline.worker import HAND_BACKS_ALLOWED, TROUBLES_ALLOWED, Worker, work
from emseg.tasks.context import Context
from emseg.tasks.downsample import Downsample
from emseg.tasks.volume.errors import ConfigError, LayerError, TransientError


@pytest.fixture
def run(tmp_path: Path) -> tuple[Plan, Ledger, Queues]:
    return (*pyramid(f"file://{tmp_path}/run", box=SMALL), Queues(f"fq://{tmp_path}/queue"))


@pytest.fixture
def worker(run: tuple[Plan, Ledger, Queues]) -> Worker:
    return inline_worker(run[2])


def drain(worker: Worker) -> None:
    """Handle messages until none is visible."""
    while worker.step():
        pass


def show_all(queues: Queues) -> None:
    """Time passes: messages that were postponed are visible."""
    for name in list(Path(queues.url.removeprefix("fq://"), "cpu", "queue").iterdir()):
        name.rename(name.parent / f"0--{name.name.split('--')[1]}")


def waiting_keys(queues: Queues) -> list[str]:
    """Keys of all messages of a queue, sorted."""
    folder = Path(queues.url.removeprefix("fq://"), "cpu", "queue")
    return sorted(json.loads(unpack(name.read_bytes()))["fields"]["key"] for name in folder.iterdir())


def test_a_window_of_one_feeds_the_whole_run(run: tuple[Plan, Ledger, Queues], worker: Worker) -> None:
    """Whoever finishes a task enqueues its successor and ready dependants, so the run ends complete and fed once."""
    plan, ledger, queues = run
    assert enqueue_start(plan, ledger, queues, 1) == 1
    drain(worker)
    assert complete(plan, ledger)
    assert worker.served.done == len(list(plan.keys()))
    assert queues.of("cpu").size().total == 0


def test_every_message_delivered_twice_makes_no_second_receipt(
    run: tuple[Plan, Ledger, Queues], worker: Worker
) -> None:
    """A message whose receipt exists executes nothing, only feeds dependants and is acknowledged."""
    plan, ledger, queues = run
    enqueue_start(plan, ledger, queues, 4)
    while leased := queues.of("cpu").lease(60):
        queues.of("cpu").insert([leased.text])
        queues.of("cpu").hand_back(leased.handle)
        worker.step()
        worker.step()
    child = worker.child
    assert complete(plan, ledger)
    assert sorted(child.executed) == sorted(plan.keys())  # type: ignore[attr-defined]
    assert worker.served.skipped > 0


def test_a_kill_between_receipt_and_feeding_loses_nothing(run: tuple[Plan, Ledger, Queues], worker: Worker) -> None:
    """The redelivered message of a finished task feeds what the killed worker did not."""
    plan, ledger, queues = run
    keys = list(plan.tier["downsample/mip1"].keys())
    for key in keys:
        ledger.finish(key, {"key": key, "outputs": {}})
    FeedSettings(4).store(ledger.run)
    enqueue(plan, ledger, queues, keys[:1])
    worker.step()
    assert queues.of("cpu").size().total == 1
    assert not any(a.endswith(".json") for a in ledger.run.list("attempts"))


def test_tasks_of_stitching_wait_for_their_word(tmp_path: Path) -> None:
    """Final tiers are enqueued only when the settings of the run say so."""
    plan, ledger = pyramid(f"file://{tmp_path}/run", box=SMALL, final_last=True)
    queues = Queues(f"fq://{tmp_path}/queue")
    keys = list(plan.tier["downsample/mip1"].keys())
    for key in keys:
        ledger.finish(key, {"key": key, "outputs": {}})
    FeedSettings(4, final=False).store(ledger.run)
    assert enqueue_after(plan, ledger, queues, keys[-1]) == 0
    FeedSettings(4, final=True).store(ledger.run)
    assert enqueue_after(plan, ledger, queues, keys[-1]) > 0


def test_feeding_again_goes_on_where_each_chain_stopped(run: tuple[Plan, Ledger, Queues]) -> None:
    """enqueue_start() on a half-finished run enqueues the first open task of each chain, not finished ones."""
    plan, ledger, queues = run
    keys = list(plan.tier["downsample/mip1"].keys())
    for key in [keys[0], keys[1], keys[3]]:
        ledger.finish(key, {"key": key, "outputs": {}})
    assert enqueue_start(plan, ledger, queues, 3) == 3
    found = [leased.text for _ in range(3) if (leased := queues.of("cpu").lease(60))]
    assert {json.loads(t)["fields"]["key"] for t in found} == {keys[6], keys[4], keys[2]}


def test_a_permanent_error_quarantines_and_drops(
    run: tuple[Plan, Ledger, Queues], worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One permanent error takes the message out of the queue; a second delivery is dropped without executing."""
    plan, ledger, queues = run
    key = next(plan.keys())

    def broken(task: Downsample, context: object) -> None:
        raise LayerError("no such layer")

    monkeypatch.setattr(Downsample, "execute", broken)
    enqueue(plan, ledger, queues, [key])
    worker.step()
    assert ledger.quarantined(key)
    assert queues.of("cpu").size().total == 0
    enqueue(plan, ledger, queues, [key])
    worker.step()
    assert (worker.served.failed, worker.served.quarantined) == (1, 1)


def test_the_third_failure_quarantines(
    run: tuple[Plan, Ledger, Queues], worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that fails by itself is shown again, later each time, and dropped after the third attempt."""
    plan, ledger, queues = run
    key = next(plan.keys())

    def flaky(task: Downsample, context: object) -> None:
        raise ValueError("odd")

    monkeypatch.setattr(Downsample, "execute", flaky)
    enqueue(plan, ledger, queues, [key])
    for failures in (1, 2, 3):
        assert queues.of("cpu").size().waiting == 1
        worker.step()
        assert ledger.counted(key) == failures
        assert queues.of("cpu").size().waiting == 0
        show_all(queues)
    assert ledger.quarantined(key)
    assert queues.of("cpu").size().total == 0


def test_a_duplicate_beside_a_live_attempt_waits(run: tuple[Plan, Ledger, Queues], worker: Worker) -> None:
    """A second delivery while someone works on the task is postponed, neither executed nor counted nor lost."""
    plan, ledger, queues = run
    key = next(plan.keys())
    attempt = ledger.begin(key, 1.5, "someone")
    enqueue(plan, ledger, queues, [key])
    worker.step()
    assert not worker.child.executed  # type: ignore[attr-defined]
    assert (queues.of("cpu").size().waiting, queues.of("cpu").size().leased) == (0, 1)
    ledger.end(key, attempt, "handback")
    assert ledger.live_for_s(key) == 0
    assert ledger.counted(key) == 0


def test_a_lost_worker_counts_and_the_task_runs_again(run: tuple[Plan, Ledger, Queues], worker: Worker) -> None:
    """An attempt that lapsed without a word counts once, and the next worker executes."""
    plan, ledger, queues = run
    key = next(plan.keys())
    ledger.begin(key, -1.0, "killed")
    enqueue(plan, ledger, queues, [key])
    worker.step()
    assert ledger.counted(key) == 1
    assert ledger.exists(key)


def fuzzed(text: str, draw: random.Random) -> str:
    """A message changed beyond use: cut, bytes swapped, fields of other types, other runs, paths and keys."""
    raw = json.loads(text)
    kind = draw.randrange(7)
    if kind == 0:
        return text[: draw.randrange(len(text))]
    if kind == 1:
        place = draw.randrange(len(text) - 1)
        return text[:place] + draw.choice("\x00{\ud7ff\U0001f600") + text[place + 1 :]
    odd = draw.choice([None, 3, -1.5, [], {}, True, "x" * 300, "../..", "\u0000", "file:///nowhere", "\ud800", [[]]])
    if kind in (2, 3):
        raw[draw.choice(sorted(raw))] = odd
    elif kind == 4:
        raw["fields"][draw.choice(sorted(raw["fields"]))] = odd
    elif kind == 5:
        raw["fields"]["key"] = draw.choice(["downsample/mip1/9_9_9", "no/0_0_0", "downsample/mip1/../x", "", "/"])
    else:
        return draw.choice(["[" * 5000, "null", "[]", '"x"', "NaN", "1e999", '{"run": {"run": 1}}', "9" * 5000])
    return json.dumps(raw)


def test_fuzzed_messages_are_all_set_aside(run: tuple[Plan, Ledger, Queues], worker: Worker) -> None:
    """300 malformed messages: none executes, none ends the worker, all lie in `dead` with a reason."""
    plan, ledger, queues = run
    good, draw = message_of(plan, ledger.run.url, next(plan.keys())), random.Random(7)
    bad = [f for f in (fuzzed(good, draw) for _ in range(330)) if f != good][:300]
    queues.of("cpu").insert(bad)
    drain(worker)
    assert queues.of("cpu").dead() == len(bad) == 300
    assert worker.served.set_aside == 300
    assert not list(ledger.receipts())


def test_torn_messages_do_not_keep_a_good_one(run: tuple[Plan, Ledger, Queues], worker: Worker) -> None:
    """Files that are no messages are set aside by the worker, and the task among them runs."""
    plan, ledger, queues = run
    folder = Path(queues.url.removeprefix("fq://"), "cpu", "queue")
    enqueue(plan, ledger, queues, [next(plan.keys())])
    for i in range(20):
        (folder / f"0--torn{i}.json").write_bytes(b"\xff" * i)
    drain(worker)
    assert (worker.served.set_aside, queues.of("cpu").dead()) == (20, 20)
    assert ledger.exists(next(plan.keys()))


def test_other_bytes_than_the_first_receipt_are_reported(
    run: tuple[Plan, Ledger, Queues], worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A duplicate that loses the race for the receipt with other outputs is recorded as not deterministic."""
    plan, ledger, queues = run
    key = next(plan.keys())

    def raced(task: Downsample, context: object) -> None:
        ledger.finish(key, {"key": key, "outputs": {"layers/image/x": "other"}})

    monkeypatch.setattr(Downsample, "execute", raced)
    enqueue(plan, ledger, queues, [key])
    worker.step()
    assert [f["error"] for f in ledger.failures(key)] == ["NotDeterministicError"]
    assert worker.served.failed == 1
    assert worker.transport.size().total == 0


def test_a_place_that_is_not_there_is_poison_and_an_outage_is_not() -> None:
    """A message of a missing bucket is set aside; refused or lost connections are tried again."""
    missing = ClientError({"Error": {"Code": "NoSuchBucket"}}, "GetObject")
    slow = ClientError({"Error": {"Code": "SlowDown"}}, "GetObject")
    named = OSError(errno.ENAMETOOLONG, "File name too long")
    assert [is_poison(e) for e in (missing, ValueError("x"), LayerError("x"), named)] == [True] * 4
    stale, refused = OSError(errno.ESTALE, "Stale file handle"), EndpointConnectionError(endpoint_url="x")
    passing = (slow, refused, stale, requests.ConnectionError("x"), RetryError("x", None), TransientError("x"))
    assert [is_poison(e) for e in passing] == [False] * 6


def test_a_disk_that_fails_under_a_message_does_not_end_the_worker(
    run: tuple[Plan, Ledger, Queues], worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the file system that may pass while a message is read is trouble: nothing is set aside."""
    plan, ledger, queues = run

    def stale(text: str, *roots: object) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr("emseg.pipeline.worker.parse_message", stale)
    enqueue(plan, ledger, queues, [next(plan.keys())])
    with pytest.raises(TransientError, match="Stale"):
        worker.step()
    assert (worker.served.set_aside, queues.of("cpu").size().total) == (0, 1)


def test_a_message_from_outside_the_root_is_set_aside(run: tuple[Plan, Ledger, Queues], tmp_path: Path) -> None:
    """A worker confined to a root touches no run elsewhere."""
    plan, ledger, queues = run
    worker = inline_worker(queues, root=f"file://{tmp_path}/other")
    enqueue(plan, ledger, queues, [next(plan.keys())])
    worker.step()
    assert (worker.served.set_aside, worker.served.done) == (1, 0)


def test_a_worker_gives_up_when_storage_stays_away(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trouble many times in a row ends the worker with an error that says so (exit 75)."""

    def away(lease_s: float) -> Leased:
        raise TransientError("connection refused")

    monkeypatch.setattr(worker.transport, "lease", away)
    with pytest.raises(TransientError, match=f"{TROUBLES_ALLOWED} times in a row"):
        worker.serve(None, 0.001, False)


def test_idle_waiting_grows_and_is_capped(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle worker asks less and less often, never less than the cap says."""
    waits: list[float] = []

    def wait(waitables: list[object], timeout_s: float) -> None:
        waits.append(timeout_s)
        if len(waits) == 12:
            worker.stop.requested = True

    monkeypatch.setattr(worker.stop, "wait", wait)
    worker.serve(None, 20.0, False)
    assert waits[0] <= 0.2
    assert 10.0 <= waits[-1] <= 20.0
    assert max(waits) <= 20.0


def test_heartbeat_renews_every_third_of_a_lease(run: tuple[Plan, Ledger, Queues]) -> None:
    """A beat is due after a third of the lease; a lapsed lease ends renewal, not the beats in the ledger."""
    plan, ledger, queues = run
    now, key, transport = [100.0], next(plan.keys()), queues.of("cpu")
    enqueue(plan, ledger, queues, [key])
    leased = transport.lease(9)
    assert leased is not None
    attempt = ledger.begin(key, 9, "me")
    heartbeat = Heartbeat(transport, ledger, key, attempt, leased.handle, 9, lambda: now[0])
    now[0] += 2.9
    heartbeat.beat()
    assert not ledger.run.exists(f"attempts/{key}/{attempt}.beat")
    now[0] += 0.2
    heartbeat.beat()
    assert ledger.run.exists(f"attempts/{key}/{attempt}.beat")
    transport.ack(heartbeat.handle)
    now[0] += 3.1
    heartbeat.beat()
    assert heartbeat.lapsed
    assert ledger.live_for_s(key) == pytest.approx(9, abs=time.time() % 1 + 2)


def test_devices_are_chosen_by_name() -> None:
    """`--gpus all` takes every GPU, numbers take these, nothing is the CPU; what is not there is refused."""
    assert chosen_devices("", 0) == ["cpu"]
    assert chosen_devices("all", 3) == ["cuda:0", "cuda:1", "cuda:2"]
    assert chosen_devices("2,0,2", 3) == ["cuda:2", "cuda:0"]
    for gpus, found in (("all", 0), ("3", 3), ("-1", 3), ("x", 3)):
        with pytest.raises(ConfigError, match="--gpus"):
            chosen_devices(gpus, found)


class Ended:
    """A process that has ended."""

    def __init__(self, exitcode: int) -> None:
        self.exitcode = exitcode
        self.sentinel, writer = os.pipe()
        os.close(writer)

    def is_alive(self) -> bool:
        """No."""
        return False

    def join(self, timeout_s: float) -> None:
        """At once."""


@pytest.mark.parametrize(
    ("devices", "codes", "left", "worst"),
    [
        (2, [0, 0], 0, 0),
        (2, [0, 3], 0, 1),
        (2, [-9, 0, 0], 0, 0),
        (2, [2, 0, 7], 1, 2),
        (1, [-9] * 7, 1, 1),
        (2, [0, 75, 75, 0], 0, 0),
    ],
)
def test_dead_workers_are_replaced(
    monkeypatch: pytest.MonkeyPatch, devices: int, codes: list[int], left: int, worst: int
) -> None:
    """A worker that was killed is started again, up to five times; one that ended, or refused its config, is not."""
    waiting = list(codes)
    monkeypatch.setattr("emseg.pipeline.queue_fleet.RESTART_S", 0.0)
    monkeypatch.setattr("emseg.pipeline.queue_fleet._started", lambda *arguments: Ended(waiting.pop(0)))
    assert supervise(chosen_devices("all", devices), "fq://nowhere", "gpu") == worst
    assert len(waiting) == left


def test_a_worker_of_the_fleet_ends_with_the_exit_code_of_its_error() -> None:
    """A bad queue URL ends the process with 2, without a traceback."""
    with pytest.raises(SystemExit, match="2"):
        serve_device("cpu", "http://nowhere", "cpu", {})


def test_a_quarantined_head_does_not_cut_its_chain(run: tuple[Plan, Ledger, Queues], worker: Worker) -> None:
    """With a window of one and the first task given up, feeding starts behind it and all others are done."""
    plan, ledger, queues = run
    first = list(plan.tier["downsample/mip1"].keys())
    ledger.failed(first[0], LayerError("gone"))
    assert enqueue_start(plan, ledger, queues, 1) == 1
    assert waiting_keys(queues) == [first[1]]
    drain(worker)
    assert sorted(ledger.receipts("downsample/mip1")) == sorted(first[1:])


@pytest.mark.parametrize("given_up_before", [False, True])
def test_a_task_that_is_given_up_hands_on_to_its_successor(
    run: tuple[Plan, Ledger, Queues], worker: Worker, monkeypatch: pytest.MonkeyPatch, given_up_before: bool
) -> None:
    """Whether a starting task fails for good here or its message is dropped, the next of its chain has a message."""
    plan, ledger, queues = run
    first = list(plan.tier["downsample/mip1"].keys())
    execute = Downsample.execute

    def broken(task: Downsample, context: Context) -> None:
        if task.key == first[3]:
            raise LayerError("no such layer")
        execute(task, context)

    monkeypatch.setattr(Downsample, "execute", broken)
    enqueue_start(plan, ledger, queues, 1)
    if given_up_before:
        ledger.failed(first[3], LayerError("no such layer"))
    drain(worker)
    assert sorted(ledger.receipts("downsample/mip1")) == sorted(k for k in first if k != first[3])
    assert (worker.served.given_up, worker.served.quarantined) == ((0, 1) if given_up_before else (1, 0))
    assert not worker.served.sound


def test_lost_workers_leave_a_reason(run: tuple[Plan, Ledger, Queues], worker: Worker) -> None:
    """A task over which three workers fell silent is dropped, and the ledger says that they were lost."""
    plan, ledger, queues = run
    key = next(plan.keys())
    for _ in range(3):
        ledger.begin(key, -1.0, "killed")
    enqueue(plan, ledger, queues, [key])
    worker.step()
    assert worker.served.quarantined == 1
    (failure,) = ledger.failures(key)
    assert (failure["error"], "lost 3 times" in failure["message"]) == ("WorkerLostError", True)


def test_duplicates_do_not_breed(run: tuple[Plan, Ledger, Queues], worker: Worker) -> None:
    """Five more messages of a task that was fed put nothing into the queue; they are acknowledged."""
    plan, ledger, queues = run
    FeedSettings(3).store(ledger.run)
    first = list(plan.tier["downsample/mip1"].keys())
    enqueue(plan, ledger, queues, first[:1])
    worker.step()
    assert waiting_keys(queues) == [first[3]]
    leased = queues.of("cpu").lease(60)  # its successor is under way elsewhere
    assert leased is not None
    enqueue(plan, ledger, queues, first[:1] * 5)
    for _ in range(5):
        worker.step()
    assert (waiting_keys(queues), worker.served.skipped) == ([first[3]], 5)


def test_a_done_task_that_was_not_fed_is_fed_once(
    run: tuple[Plan, Ledger, Queues], worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task done without the mark, by a killed worker or a driver that feeds no queue, is fed once and marked."""
    plan, ledger, queues = run
    FeedSettings(3).store(ledger.run)
    first = list(plan.tier["downsample/mip1"].keys())
    ledger.end(first[0], ledger.begin(first[0], 60, "local"), "done")
    ledger.finish(first[0], {"key": first[0], "outputs": {}})
    for _ in range(3):
        enqueue(plan, ledger, queues, first[:1])
    insert, put = queues.insert, list[str]()
    monkeypatch.setattr(queues, "insert", lambda messages: insert(put.append(m[1]) or m for m in messages))
    drain(worker)
    assert worker.served.skipped == 3
    assert [json.loads(text)["fields"]["key"] for text in put].count(first[3]) == 1


def test_trouble_of_storage_counts_for_nothing(
    run: tuple[Plan, Ledger, Queues], worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task whose source is away is handed back, shown later each time, and done when the source is there again."""
    plan, ledger, queues = run
    key = next(plan.keys())
    later_s, execute = list[float](), Downsample.execute

    def away(task: Downsample, context: Context) -> None:
        raise ConnectionError("503")

    monkeypatch.setattr(Downsample, "execute", away)
    enqueue(plan, ledger, queues, [key])
    worker.lease_s = 1000.0
    for _ in range(5):
        now_s = time.time()
        with pytest.raises(TransientError, match="503"):
            worker.step()
        (name,) = Path(queues.url.removeprefix("fq://"), "cpu", "queue").iterdir()
        later_s.append(int(name.name.split("--")[0]) - now_s)
        show_all(queues)
    assert later_s == pytest.approx([1, 4, 16, 64, 256], abs=2)
    assert (ledger.counted(key), ledger.failures(key), worker.served.failed) == (0, [], 0)
    monkeypatch.setattr(Downsample, "execute", execute)
    worker.step()
    assert ledger.exists(key)


def test_an_outage_ends_the_worker_and_harms_no_task(
    run: tuple[Plan, Ledger, Queues], worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the source is away no task is given up; the worker ends with an error that may pass (exit 75)."""
    plan, ledger, queues = run

    def away(task: Downsample, context: Context) -> None:
        raise TimeoutError("source")

    monkeypatch.setattr(Downsample, "execute", away)
    starting = len(plan.tier["downsample/mip1"].grid)
    enqueue_start(plan, ledger, queues, starting)
    with pytest.raises(TransientError, match="times in a row"):
        worker.serve(None, 0.001, False)
    assert not list(ledger.failed_keys())
    assert queues.of("cpu").size().total == starting


def test_trouble_without_end_counts_at_last(
    run: tuple[Plan, Ledger, Queues], worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that storage kept from working for hours is blamed, so that a run does not go on for ever."""
    plan, ledger, queues = run
    key = next(plan.keys())

    def away(task: Downsample, context: Context) -> None:
        raise TimeoutError("a bad sector")

    monkeypatch.setattr(Downsample, "execute", away)
    for _ in range(HAND_BACKS_ALLOWED):
        ledger.end(key, ledger.begin(key, 60, "earlier"), "handback")
    enqueue(plan, ledger, queues, [key])
    worker.step()
    assert ledger.counted(key) == worker.served.failed == 1


def test_a_task_that_hangs_is_ended_and_counts(run: tuple[Plan, Ledger, Queues], worker: Worker) -> None:
    """A child that answers nothing within the limit is replaced, and the failure says how long it took."""
    plan, ledger, queues = run
    key = next(plan.keys())
    child: Any = worker.child
    child.hangs, child.waitables, worker.task_limit_s = True, [], 0.2
    enqueue(plan, ledger, queues, [key])
    worker.step()
    assert child.restarts == 1
    assert ledger.counted(key) == 1
    assert "longer than --task-limit-s 0.2" in ledger.failures(key)[0]["message"]


def test_a_worker_says_what_lies_aside(run: tuple[Plan, Ledger, Queues], worker: Worker) -> None:
    """At its end a worker counts the messages that were set aside."""
    _, _, queues = run
    queues.of("cpu").insert(["no task"])
    served = worker.serve(0.0, 0.01, False)
    assert (served.set_aside, served.dead, served.sound) == (1, 1, True)


def test_read_roots_need_a_root() -> None:
    """--read-root alone would confine nothing, and is refused."""
    with pytest.raises(ConfigError, match="give --root too"):
        work("fq:///tmp/unused", read_roots=["s3://public"])
