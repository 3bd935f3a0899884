"""The local engine: processes of this machine."""

from __future__ import annotations

import numpy as np

from emseg.pipeline.child import Outcome
from emseg.pipeline.driver import Driver
from emseg.pipeline.local import LocalEngine
from emseg.tasks.arrays.pyramid import downsampled


def test_a_plan_runs_to_its_end(case):
    """Two processes do all tasks, the layer holds what one reduction of the whole gives, and both took part."""
    engine = LocalEngine(2)
    assert engine.free == 2
    tally = Driver(case.plan, case.ledger, engine).run()
    engine.close()
    assert tally.complete
    whole = downsampled(case.image_ZYX[None], (2, 2, 2), (0, 0, 0), (0, 0, 0), "mean")
    assert np.array_equal(case.layer.at(1).read(case.layer.at(1).bounds), whole)
    assert len({case.ledger.receipt(key)["run"]["pid"] for key in case.plan.keys()}) == 2


def test_closing_ends_the_processes(case):
    """No child outlives its engine."""
    engine = LocalEngine(2)
    engine.close()
    assert not any(child.process.is_alive() for child in engine.children)


class Idle:
    """A child that takes tasks and ends them when told."""

    def __init__(self, device: str = "cpu", root: str | None = None) -> None:
        self.device, self.key, self.attempt, self.ended = device, "", "", False

    idle = property(lambda self: not self.key)
    waitables: tuple[()] = ()

    def submit(self, key: str, attempt: str, message: str) -> None:
        """Take a task."""
        assert self.idle
        self.key, self.attempt = key, attempt

    def poll(self) -> Outcome | None:
        """The outcome of what was told to end."""
        if not self.key or not self.ended:
            return None
        key, self.key, self.ended = self.key, "", False
        return Outcome(key, self.attempt, {})


def test_tasks_of_class_gpu_have_a_gpu_each(monkeypatch):
    """Each GPU has one child and one task at a time; the others wait for it, and cpu tasks run beside them."""
    monkeypatch.setattr("emseg.pipeline.local.Child", Idle)
    engine = LocalEngine(2, ["cuda:0", "cuda:1"])
    assert engine.free == 4
    for n in range(3):
        engine.submit(f"gpu{n}", "a", "", "gpu")
    assert engine.free == 1
    engine.submit("cpu0", "a", "", "cpu")
    assert engine.free == 0
    assert {c.key: c.device for c in engine.children if c.key} == {"gpu0": "cuda:0", "gpu1": "cuda:1", "cpu0": "cpu"}
    engine.children[1].ended = True
    assert [o.key for o in engine.outcomes(0)] == ["gpu1"]
    assert (engine.children[1].key, engine.free) == ("gpu2", 1)


def test_a_child_that_died_idle_does_not_stop_the_engine(case):
    """A child that is killed just before it gets a task costs an attempt at most, never the run."""
    engine = LocalEngine(1)
    child = engine.children[0]
    child.process.kill()
    child.process.join()
    child.process.is_alive = lambda: True  # it died after it was looked at
    engine.submit(case.first[0], "a", "message", "cpu")
    del child.process.is_alive
    (outcome,) = engine.outcomes(10)
    assert (outcome.error, outcome.permanent) == ("WorkerDied", False)
    engine.close()
