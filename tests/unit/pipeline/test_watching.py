"""`status --watch` and `stitch` on a run that cannot go on, or is large."""

from __future__ import annotations

import pytest

from emseg.pipeline import cli_run
from emseg.pipeline.execute import execute
from emseg.pipeline.status import missing_keys, status_of
from emseg.tasks.volume.errors import CorruptChunkError


def test_watching_ends_when_what_is_left_waits_for_a_failed_task(case, monkeypatch, capsys):
    """With one task failed for good and one behind it, nothing can change: the watch ends and says so."""
    monkeypatch.setattr(cli_run.time, "sleep", lambda seconds: pytest.fail("looked again"))
    case.ledger.failed(case.first[0], CorruptChunkError("torn"))
    for key in case.first[1:]:
        case.ledger.finish(key, execute(case.plan, case.run, case.plan.task(key)))
    state = cli_run._watched(case.plan, case.ledger, status_of(case.plan, case.ledger))
    assert (state.failed, state.missing) == ({"down": 1}, {"down": 1})
    assert "nothing can go on" in capsys.readouterr().err


def test_watching_goes_on_while_tasks_can_run(case, monkeypatch):
    """A failed task does not end the watch while others may still be done; completeness does."""
    case.ledger.failed(case.first[0], CorruptChunkError("torn"))
    left, rests = list(case.first[1:]), []

    def work(seconds: float) -> None:
        rests.append(seconds)
        key = left.pop()
        case.ledger.finish(key, execute(case.plan, case.run, case.plan.task(key)))

    monkeypatch.setattr(cli_run.time, "sleep", work)
    cli_run._watched(case.plan, case.ledger, status_of(case.plan, case.ledger))
    assert left == []
    assert min(rests) >= cli_run.WATCH_S


def test_missing_chunks_are_found_by_one_listing(case, monkeypatch):
    """Which chunks lack receipts is read from a listing, not asked chunk by chunk; the first ones are named."""
    for key in case.first[:3]:
        case.ledger.finish(key, execute(case.plan, case.run, case.plan.task(key)))
    monkeypatch.setattr(case.run.backend, "exists", lambda key: pytest.fail("asked for one receipt"))
    assert missing_keys(case.plan, case.ledger, 4) == case.first[3:7]
