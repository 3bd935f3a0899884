"""Postponed tasks: later each time, in order of time, and with hope as long as any task goes through."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from emseg.pipeline.postponed import RETRY_CAP_S, RETRY_S, TROUBLES_ALLOWED, Postponed


def test_each_time_a_task_waits_twice_as_long_up_to_a_minute() -> None:
    """Delays double from a second on and end at the cap; a minute's outage is survived."""
    now_s, waits = [0.0], []
    postponed = Postponed(lambda: now_s[0])
    for _ in range(TROUBLES_ALLOWED):
        postponed.add("a")
        start_s = now_s[0]
        while not list(postponed.due()):
            now_s[0] += 0.5
        waits.append(now_s[0] - start_s)
    assert waits == [min(RETRY_S * 2**n, RETRY_CAP_S) for n in range(TROUBLES_ALLOWED)]
    assert sum(waits[:-1]) > 60


def test_hope_ends_after_so_many_troubles_with_nothing_done() -> None:
    """The last allowed trouble in a row of one task says so; a task done in between gives hope again."""
    postponed = Postponed(lambda: 0.0)
    assert [postponed.add("a") for _ in range(TROUBLES_ALLOWED - 1)] == [True] * (TROUBLES_ALLOWED - 1)
    postponed.passed("b")
    assert postponed.add("a")
    assert [postponed.add("a") for _ in range(TROUBLES_ALLOWED - 1)][-1] is False
    assert postponed.times("a") == 2 * TROUBLES_ALLOWED - 1


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.floats(0, 30)), max_size=40))
def test_nothing_is_lost_and_nothing_comes_early(steps: list[tuple[str, float]]) -> None:
    """Every key comes back exactly as often as it was postponed, never before its time."""
    now_s, back = [0.0], []
    postponed = Postponed(lambda: now_s[0])
    earliest: dict[str, float] = {}
    for key, step_s in steps:
        postponed.add(key)
        earliest.setdefault(key, now_s[0] + RETRY_S)
        now_s[0] += step_s
        for found in postponed.due():
            assert now_s[0] >= earliest[found]
            back.append(found)
    now_s[0] += 1e6
    back.extend(postponed.due())
    assert sorted(back) == sorted(key for key, _ in steps)
    assert not postponed
