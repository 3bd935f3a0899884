"""The driver feeds, records, resumes and gives up; the engine is a list, so every order can be tried."""

from __future__ import annotations

import json
import random
import time
from dataclasses import replace

import pytest

from emseg.pipeline.child import Outcome, failure
from emseg.pipeline.driver import LEASE_S, Driver
from emseg.pipeline.execute import execute, parse_message
from emseg.pipeline.queue_signals import Stop
from emseg.pipeline.receipts import ATTEMPTS_ALLOWED, Ledger
from emseg.tasks.volume.errors import CorruptChunkError, EmsegError, TransientError


class Scripted:
    """An engine in this process: takes `window` tasks, ends them in a seeded order, fails as told."""

    name = "scripted"

    def __init__(self, window: int = 3, seed: int = 0, fails=lambda key, n: None) -> None:
        self.window, self.rng, self.fails = window, random.Random(seed), fails
        self.waiting: list[tuple[str, str, str]] = []
        self.submitted: list[str] = []
        self.most = 0

    @property
    def free(self) -> int:
        """Places left in the window."""
        return self.window - len(self.waiting)

    def submit(self, key: str, attempt: str, message: str, task_class: str) -> None:
        """Take a task."""
        self.submitted.append(key)
        self.waiting.append((key, attempt, message))
        self.most = max(self.most, len(self.waiting))

    def outcomes(self, timeout_s: float) -> list[Outcome]:
        """End one of the waiting tasks."""
        if not self.waiting:
            time.sleep(0.01)
            return []
        key, attempt, message = self.waiting.pop(self.rng.randrange(len(self.waiting)))
        error = self.fails(key, self.submitted.count(key))
        if isinstance(error, Outcome):
            return [replace(error, key=key, attempt=attempt)]
        if isinstance(error, EmsegError):
            return [failure(key, attempt, error)]
        if error is not None:
            raise error
        plan, run, task = parse_message(message)
        return [Outcome(key, attempt, json.loads(json.dumps(execute(plan, run, task, attempt))))]

    def close(self) -> None:
        """Nothing to let go of."""


@pytest.mark.parametrize("seed", range(5))
def test_producers_come_before_consumers(case, seed):
    """In every order of ends, a task is submitted only when its producers have receipts, and each task once."""
    engine = Scripted(seed=seed)
    tally = Driver(case.plan, case.ledger, engine).run()
    assert tally.complete
    assert sorted(engine.submitted) == sorted(case.plan.keys())
    assert engine.submitted[-1] == case.last


@pytest.mark.parametrize("window", [1, 2, 20])
def test_the_window_is_never_passed(case, window):
    """No more tasks are given than the engine has places."""
    engine = Scripted(window)
    Driver(case.plan, case.ledger, engine).run()
    assert engine.most <= window


def test_a_finished_run_does_nothing(case):
    """A second run submits no task and is complete."""
    Driver(case.plan, case.ledger, Scripted()).run()
    engine = Scripted()
    assert Driver(case.plan, case.ledger, engine).run().complete
    assert engine.submitted == []


@pytest.mark.parametrize("after", range(1, 9))
def test_a_lost_driver_is_resumed(case, after):
    """A driver that died after any number of tasks is run again: it does the rest, once, and nothing counts."""

    def die(key, n):
        return KeyboardInterrupt() if len(engine.submitted) > after else None

    engine = Scripted(1, fails=die)
    with pytest.raises(KeyboardInterrupt):
        Driver(case.plan, case.ledger, engine).run()
    again = Scripted()
    assert Driver(case.plan, case.ledger, again).run().complete
    assert sorted(again.submitted + engine.submitted[:after]) == sorted(case.plan.keys())
    much_later = Ledger(case.run, lambda: time.time() + 1e9)
    assert all(much_later.counted(key) == 0 for key in case.plan.keys())


DIED = Outcome("", "", None, "WorkerDied", "its process was killed")


@pytest.fixture
def prompt(monkeypatch):
    """Postponed tasks are tried at once."""
    monkeypatch.setattr("emseg.pipeline.postponed.RETRY_S", 0.0)


def test_a_task_that_died_is_tried_again(case):
    """A task that dies twice and then succeeds leaves a complete run, and two attempts that count."""
    engine = Scripted(fails=lambda key, n: DIED if key == case.first[4] and n <= 2 else None)
    tally = Driver(case.plan, case.ledger, engine).run()
    assert (tally.complete, tally.failed) == (True, {})
    assert engine.submitted.count(case.first[4]) == 3
    assert case.ledger.counted(case.first[4]) == 2


def test_the_third_death_is_the_last(case):
    """A task that always dies is tried three times; all others that can finish do, and the tally says why."""
    engine = Scripted(fails=lambda key, n: DIED if key == case.first[4] else None)
    tally = Driver(case.plan, case.ledger, engine).run()
    assert not tally.complete
    assert list(tally.failed) == [case.first[4]]
    assert "was killed" in tally.failed[case.first[4]]
    assert engine.submitted.count(case.first[4]) == ATTEMPTS_ALLOWED
    assert (tally.done, case.last in engine.submitted) == ({"down": 7}, False)


def test_trouble_of_storage_never_counts(case, prompt):
    """Storage that fails five times for every task leaves a complete run without failure or counted attempt."""
    engine = Scripted(fails=lambda key, n: TransientError("busy") if n <= 5 else None)
    tally = Driver(case.plan, case.ledger, engine).run()
    assert (tally.complete, tally.failed) == (True, {})
    assert all(engine.submitted.count(key) == 6 for key in case.plan.keys())
    assert all(case.ledger.counted(key) == 0 and not case.ledger.failures(key) for key in case.plan.keys())


def test_trouble_that_does_not_end_stops_the_run_for_now(case, prompt):
    """When only trouble is met, the driver ends with exit code 75; nothing counts, and a later run completes."""
    with pytest.raises(TransientError, match="run again when storage is well") as caught:
        Driver(case.plan, case.ledger, Scripted(fails=lambda key, n: TransientError("busy"))).run()
    assert caught.value.exit_code == 75
    much_later = Ledger(case.run, lambda: time.time() + 1e9)
    assert all(much_later.counted(key) == 0 for key in case.plan.keys())
    assert Driver(case.plan, case.ledger, Scripted()).run().complete


def test_trouble_of_one_task_does_not_stop_others(case, prompt):
    """A task that meets trouble for longer than all others are done is tried to the end, then the run stops."""
    engine = Scripted(fails=lambda key, n: TransientError("busy") if key == case.first[4] else None)
    with pytest.raises(TransientError, match=case.first[4]):
        Driver(case.plan, case.ledger, engine).run()
    assert sum(case.ledger.exists(key) for key in case.first) == 7


def test_a_lost_driver_leaves_short_leases(case):
    """What a killed driver ran is free for others minutes later: its attempts then have lapsed."""

    class Lost(BaseException):
        pass

    driver = Driver(case.plan, case.ledger, Scripted(1, fails=lambda key, n: Lost()))
    driver._hand_back = lambda: None  # SIGKILL: nothing is handed back
    with pytest.raises(Lost):
        driver.run()
    minutes_later = Ledger(case.run, lambda: time.time() + LEASE_S + 1)
    assert LEASE_S <= 600
    assert [minutes_later.counted(key) for key in case.first[:2]] == [1, 0]


def test_a_living_driver_keeps_its_leases(case):
    """A task that takes longer than a lease does not lapse while its driver lives."""
    now_s = [0.0]
    case.ledger.clock = lambda: now_s[0]
    counted = []

    def later(key, n):
        counted.append(case.ledger.counted(key))
        now_s[0] += LEASE_S / 2.5

    Driver(case.plan, case.ledger, Slow(later), clock=lambda: now_s[0]).run()
    assert len(counted) > 20
    assert not any(counted)


class Slow(Scripted):
    """An engine whose tasks end when they were asked for the fourth time."""

    def __init__(self, asked) -> None:
        super().__init__(1)
        self.asked, self.calls = asked, 0

    def outcomes(self, timeout_s: float) -> list[Outcome]:
        """End the task at every fourth call."""
        self.calls += 1
        self.asked(self.waiting[0][0], 0)
        return super().outcomes(timeout_s) if self.calls % 4 == 0 else []


def test_a_stop_hands_back_what_runs(case):
    """A driver that is asked to stop ends soon; a death meanwhile is no failure, and no attempt counts."""
    with Stop() as stop:

        def fails(key, n):
            stop.requested = True
            return DIED

        with pytest.raises(KeyboardInterrupt):
            Driver(case.plan, case.ledger, Scripted(3, fails=fails), stop=stop).run()
    much_later = Ledger(case.run, lambda: time.time() + 1e9)
    assert all(much_later.counted(key) == 0 and not case.ledger.failures(key) for key in case.plan.keys())


def test_one_attempt_that_cannot_be_handed_back_does_not_keep_the_others(case, monkeypatch):
    """Storage that refuses one record while a driver ends does not cost the other tasks an attempt."""
    end, refused = Ledger.end, []

    def refuse_first(ledger, key, attempt, outcome):
        if outcome == "handback" and not refused:
            refused.append(key)
            raise TransientError("no space")
        end(ledger, key, attempt, outcome)

    monkeypatch.setattr(Ledger, "end", refuse_first)
    engine = Scripted(3, fails=lambda key, n: KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        Driver(case.plan, case.ledger, engine).run()
    much_later = Ledger(case.run, lambda: time.time() + 1e9)
    assert {key for key in engine.submitted if much_later.counted(key)} <= set(refused)
    assert len(engine.submitted) == 3


def test_a_permanent_error_is_tried_once(case):
    """An error that no attempt can mend is not tried again, in this run or the next."""
    engine = Scripted(fails=lambda key, n: CorruptChunkError("torn") if key == case.first[0] else None)
    assert "torn" in Driver(case.plan, case.ledger, engine).run().failed[case.first[0]]
    assert engine.submitted.count(case.first[0]) == 1
    again = Scripted()
    tally = Driver(case.plan, case.ledger, again).run()
    assert again.submitted == []
    assert "torn" in tally.failed[case.first[0]]


def test_a_forgiven_task_runs_again(case):
    """After its failure is forgiven a task runs, and what waited for it follows."""
    Driver(
        case.plan, case.ledger, Scripted(fails=lambda k, n: CorruptChunkError("x") if k == case.first[0] else None)
    ).run()
    case.ledger.forgive(case.first[0])
    engine = Scripted()
    assert Driver(case.plan, case.ledger, engine).run().complete
    assert engine.submitted == [case.first[0], case.last]


def test_other_bytes_of_a_duplicate_are_reported(case):
    """A task that ends after another worker's receipt with other outputs is reported as not deterministic."""

    def forestall(key, n):
        if key == case.first[0]:
            case.ledger.finish(key, {"outputs": {"layers/image/x": "0"}})

    tally = Driver(case.plan, case.ledger, Scripted(fails=forestall)).run()
    assert "other bytes" in tally.failed[case.first[0]]


def test_only_the_wanted_tiers_run(case):
    """A driver of some tiers leaves the others, and is complete when its own are."""
    engine = Scripted()
    tally = Driver(case.plan, case.ledger, engine, wanted=lambda tier: tier.name == "down/1").run()
    assert tally.complete
    assert sorted(engine.submitted) == sorted(case.first)


def test_what_was_missing_alone_is_run(case):
    """Where all receipts of a tier but one are there, that one is run, and then what it made ready."""
    for key in case.first[1:]:
        case.ledger.finish(key, execute(case.plan, case.run, case.plan.task(key)))
    engine = Scripted(1)
    Driver(case.plan, case.ledger, engine).run()
    assert engine.submitted == [case.first[0], case.last]


def test_the_tally_is_watched(case):
    """Progress is told after every batch of ends, and ends with all tasks."""
    seen = []
    Driver(case.plan, case.ledger, Scripted(), watch=lambda tally: seen.append(sum(tally.done.values()))).run()
    assert seen == sorted(seen)
    assert seen[-1] == 9
