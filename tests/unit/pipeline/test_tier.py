"""Dependencies between grids, both ways, checked against brute force over voxels' boxes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from emseg.pipeline.plan import Plan
from emseg.pipeline.tier import Need, Tier
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.grid import Grid

small = st.tuples(*[st.integers(1, 5)] * 3)
pads = st.tuples(*[st.integers(0, 4)] * 3)
lows = st.tuples(*[st.integers(-8, 8)] * 3)
grids = st.builds(lambda a, s, c: Grid(BBox.sized(a, s), c), lows, st.tuples(*[st.integers(1, 7)] * 3), small)
needs = st.builds(Need, st.just("made"), pads, pads, st.tuples(*[st.integers(1, 3)] * 3))


def plan_of(made: Grid, used: Grid, *needs: Need) -> Plan:
    return Plan({}, (Tier("made", "downsample", made), Tier("used", "downsample", used, needs=needs)))


@given(grids, grids, needs)
def test_dependants_are_the_inverse_of_producers(made, used, need):
    """A task is a dependant of exactly those that it names as producers."""
    plan = plan_of(made, used, need)
    forward = {(p, c) for c in plan.tier["used"].keys() for p in plan.producers(c)}
    backward = {(p, c) for p in plan.tier["made"].keys() for c in plan.dependants(p)}
    assert forward == backward


@given(grids, grids, needs)
def test_producers_are_those_whose_core_is_read(made, used, need):
    """The producers of a task are the cores that meet its core, scaled and grown."""
    plan = plan_of(made, used, need)
    for index in used.indices():
        core = used.core(index)
        low = [a * f - p for a, f, p in zip(core.min, need.factor, need.pad_low_vx, strict=True)]
        high = [b * f + p for b, f, p in zip(core.max, need.factor, need.pad_high_vx, strict=True)]
        brute = {plan.tier["made"].key(i) for i in made.indices() if made.core(i).meets(BBox.of(low, high))}
        assert set(plan.producers(plan.tier["used"].key(index))) == brute


@given(grids, grids, needs, needs)
def test_a_dependant_by_two_needs_is_named_once(made, used, first, second):
    """A task that needs another tier in two ways stands once among the dependants."""
    plan = plan_of(made, used, first, second)
    for key in plan.tier["made"].keys():
        found = plan.dependants(key)
        assert len(found) == len(set(found))


@given(grids, needs)
def test_a_tier_comes_back_from_json(grid, need):
    """A tier's JSON form makes the same tier."""
    tier = Tier("merge/L2", "merge", grid, {"level": 2}, (need,), "big", final=True)
    assert Tier.from_json(tier.to_json()) == tier


def test_a_stage_is_the_first_part_of_a_tier_s_name():
    """Tiers of a tree belong to one stage."""
    grid = Grid(BBox.sized((0, 0, 0), (4, 4, 4)), (2, 2, 2))
    assert Tier("merge/L2", "merge", grid).stage == "merge"
    assert Tier("merge/L2", "merge", grid).key((1, 0, 1)) == "merge/L2/1_0_1"
    assert Tier("merge/L2", "merge", grid).core("merge/L2/1_0_1") == BBox.of((2, 0, 2), (4, 2, 4))
