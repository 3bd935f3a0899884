"""The local engine: processes of this machine."""

from __future__ import annotations

import numpy as np

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
