"""Local runs under SIGKILL: of children in the middle of tasks, of the driver, again and again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from emseg.pipeline.driver import Driver
from emseg.pipeline.local import LocalEngine
from emseg.pipeline.receipts import Ledger

pytestmark = [pytest.mark.fault, pytest.mark.slow]

DRIVER = """
import sys
from emseg.pipeline.driver import Driver
from emseg.pipeline.local import LocalEngine
from emseg.pipeline.plan import load_plan
from emseg.pipeline.receipts import Ledger
from emseg.tasks.volume.objects import Objects
if __name__ == "__main__":
    run = Objects(sys.argv[1])
    engine = LocalEngine(2)
    Driver(load_plan(run), Ledger(run), engine, watch=lambda tally: print(sum(tally.done.values()), flush=True)).run()
"""


def outputs(case) -> dict[str, bytes]:
    """Stored bytes of the coarser mips."""
    keys = [key for mip in (1, 2) for key in case.layer.at(mip).object_keys()]
    return {key: case.layer.objects.get_stored(key).content for key in keys}


def undisturbed(case) -> dict[str, bytes]:
    """Stored bytes of a run that nobody disturbs; its traces are removed."""
    engine = LocalEngine(1)
    assert Driver(case.plan, case.ledger, engine).run().complete
    engine.close()
    found = outputs(case)
    for name in [*found, *(f"receipts/{key}.json" for key in case.plan.keys())]:
        (case.layer.objects if name in found else case.run).delete(name)
    return found


def test_a_child_killed_in_a_task_costs_one_attempt(case):
    """A child killed while it reads is replaced, its task counts one attempt and is done by another."""
    expected = undisturbed(case)
    content = case.source_path().read_bytes()
    case.source_path().unlink()
    os.mkfifo(case.source_path())
    engine = LocalEngine(1)
    killed = []

    def kill(tally):
        if not killed:
            killed.append(engine.children[0].key)
            os.kill(engine.children[0].process.pid, signal.SIGKILL)
            case.source_path().unlink()
            case.source_path().write_bytes(content)

    tally = Driver(case.plan, case.ledger, engine, watch=kill).run()
    engine.close()
    assert (tally.complete, tally.failed) == (True, {})
    assert killed == [case.first[0]]
    assert case.ledger.counted(killed[0]) == 1
    assert case.ledger.failures(killed[0])[0]["message"].startswith("WorkerDied")
    assert outputs(case) == expected


def test_a_task_that_always_kills_is_set_aside(case):
    """A task whose child dies three times is quarantined; all tasks that can finish do."""
    case.source_path().unlink()
    os.mkfifo(case.source_path())
    engine = LocalEngine(2)

    def kill(tally):
        for child in engine.children:
            if child.key == case.first[0] and tally.done.get("down", 0) == 7:
                os.kill(child.process.pid, signal.SIGKILL)

    tally = Driver(case.plan, case.ledger, engine, watch=kill).run()
    engine.close()
    assert list(tally.failed) == [case.first[0]]
    assert case.ledger.counted(case.first[0]) == 3
    assert tally.done == {"down": 7}


@pytest.mark.parametrize("seed", range(3))
def test_random_kills_do_not_show(case, seed):
    """With a child killed twice at seeded moments, the stored bytes are those of an undisturbed run."""
    expected = undisturbed(case)
    rng, engine, kills = random.Random(seed), LocalEngine(2), []

    def kill(tally):
        left = sum(tally.planned.values()) - sum(tally.done.values())
        if len(kills) < 2 and (rng.random() < 0.5 or left <= 3):
            os.kill(rng.choice(engine.children).process.pid, signal.SIGKILL)
            kills.append(True)

    tally = Driver(case.plan, case.ledger, engine, watch=kill).run()
    engine.close()
    assert (tally.complete, tally.failed, len(kills)) == (True, {}, 2)
    assert outputs(case) == expected


RUN = """
import sys
from emseg.pipeline.config import Engine
from emseg.pipeline.plan import load_plan
from emseg.pipeline.runner import run_plan
from emseg.tasks.volume.objects import Objects
if __name__ == "__main__":
    run = Objects(sys.argv[1])
    run_plan(load_plan(run), run, Engine(workers=1), watch=lambda tally: print("works", flush=True))
"""


def test_a_terminated_run_hands_back(case):
    """SIGTERM to a run and its children in the middle of a task ends it soon; nobody's attempt ever counts."""
    case.source_path().unlink()
    os.mkfifo(case.source_path())
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, case.run.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline() == "works\n"
    os.killpg(process.pid, signal.SIGTERM)
    _, trace = process.communicate(timeout=10)
    assert "KeyboardInterrupt" in trace
    much_later = Ledger(case.run, lambda: time.time() + 1e9)
    names = list(case.run.list("attempts"))
    assert sum(name.endswith(".json") for name in names) == sum(name.endswith(".handback") for name in names) == 1
    assert all(much_later.counted(key) == 0 for key in case.plan.keys())


@pytest.mark.parametrize("after", [1, 5])
def test_a_killed_driver_is_resumed(case, after):
    """A driver killed after some tasks is run again and completes the run; its children do not outlive it."""
    expected = undisturbed(case)
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, case.run.url], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    for line in process.stdout:
        if int(line) >= after:
            break
    process.kill()
    process.wait()
    deadline = time.monotonic() + 30
    while group_lives(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not group_lives(process.pid)
    engine = LocalEngine(1)
    tally = Driver(case.plan, case.ledger, engine).run()
    engine.close()
    assert (tally.complete, tally.failed) == (True, {})
    assert outputs(case) == expected


def group_lives(pid: int) -> bool:
    """Whether any process of a group is left."""
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    return True
