"""What a task may touch: the plan's layers, the run directory's objects, and nothing unrecorded."""

from __future__ import annotations

import numpy as np
import pytest

from emseg.tasks.context import Context
from emseg.tasks.volume.errors import ConfigError, CorruptChunkError, LimitError, MessageError


@pytest.fixture
def context(case) -> Context:
    return Context(case.plan.refs(case.run.url), case.run)


def test_a_layer_of_the_plan_opens_once(case, context):
    """A layer is opened once per mip, and every read of it is recorded."""
    layer = context.layer("image")
    assert context.layer("image", 0) is layer
    assert context.layer("image", 1).mip == 1
    layer.read(layer.bounds)
    assert set(context.record.inputs) == {f"layers/image/{key}" for key in case.layer.object_keys()}


def test_another_layer_is_refused(context):
    """A layer that the plan does not list is refused, with those that it does."""
    with pytest.raises(MessageError, match=r"layer 'secret' is not one of the plan's: image"):
        context.layer("secret")


def test_tables_are_recorded(case, context):
    """A table comes back, and its digest stands among outputs and inputs under its key."""
    context.put_table("tables/fragment/L0/0_0_0", {"a": np.arange(4)})
    assert context.get_table("tables/fragment/L0/0_0_0")["a"].tolist() == [0, 1, 2, 3]
    digest = case.run.get_stored("tables/fragment/L0/0_0_0").digest
    assert context.record.outputs == context.record.inputs == {"tables/fragment/L0/0_0_0": digest}


def test_an_absent_object_is_named(context):
    """An object that must be there and is not is refused by its full name."""
    with pytest.raises(CorruptChunkError, match="run/tables/x is missing"):
        context.get_object("tables/x")


def test_an_object_has_a_budget(case, context):
    """An object that inflates past the budget is refused."""
    case.run.put("tables/x", bytes(1 << 20), "zstd")
    with pytest.raises(LimitError, match="tables/x"):
        context.get_object("tables/x", 1000)


def test_keys_stay_in_the_run(context):
    """A key that climbs out of the run directory is refused."""
    with pytest.raises(ConfigError, match="not allowed"):
        context.get_object("../secret")


def test_phases_add_up(context):
    """Time of a phase that comes twice is summed, and is kept when the phase fails."""
    for _ in range(2):
        with context.record.phase("read"):
            pass
    with pytest.raises(KeyError), context.record.phase("write"):
        raise KeyError
    assert set(context.record.seconds) == {"read", "write"}
