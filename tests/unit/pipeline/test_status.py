"""Status: nothing that is wrong is counted as done or merely missing, and a retry reaches all of it."""

from __future__ import annotations

import pytest

from emseg.pipeline.execute import execute
from emseg.pipeline.status import retry, status_of
from emseg.tasks.volume.errors import CorruptChunkError, NotDeterministicError


def do_all(case, but=()):
    """Receipts of all tasks."""
    for key in case.plan.keys():
        if key not in but:
            case.ledger.finish(key, execute(case.plan, case.run, case.plan.task(key)))


def contradict(case, key):
    """A second execution that wrote other bytes."""
    with pytest.raises(NotDeterministicError):
        case.ledger.finish(key, {"outputs": {"layers/image/x": "other"}})


def test_a_contradicted_receipt_is_not_complete(case):
    """A run with a task that was not deterministic is not complete: the task counts as failed, with its message."""
    do_all(case)
    assert status_of(case.plan, case.ledger).complete
    contradict(case, case.first[2])
    state = status_of(case.plan, case.ledger)
    assert not state.complete
    assert "other bytes" in state.failures[case.first[2]]
    assert (state.done["down"], state.failed["down"], state.missing["down"]) == (8, 1, 0)


def test_a_retry_lets_a_contradicted_task_run_again(case):
    """After a retry the task has neither receipt nor failure, so that it rewrites its objects; others keep theirs."""
    do_all(case)
    contradict(case, case.first[2])
    assert retry(case.ledger) == 1
    state = status_of(case.plan, case.ledger)
    assert (state.failures, state.missing["down"], state.done["down"]) == ({}, 1, 8)
    case.ledger.finish(case.first[2], execute(case.plan, case.run, case.plan.task(case.first[2])))
    assert status_of(case.plan, case.ledger).complete


def test_a_retry_reaches_what_nobody_recorded(case):
    """A task whose three workers were lost without a record is forgiven too, and what failed otherwise."""
    for _ in range(3):
        case.ledger.begin(case.first[0], -1.0, "killed")
    case.ledger.failed(case.first[1], CorruptChunkError("torn"))
    assert case.ledger.quarantined(case.first[0])
    assert retry(case.ledger) == 2
    assert not any(map(case.ledger.quarantined, case.first))


def test_a_task_given_up_is_failed_not_missing(case):
    """Once somebody has met it, a task whose workers were lost is shown with that reason."""
    for _ in range(3):
        case.ledger.begin(case.first[0], -1.0, "killed")
    assert case.ledger.given_up(case.first[0])
    state = status_of(case.plan, case.ledger)
    assert (state.failed["down"], state.missing["down"]) == (1, 8)
    assert "lost 3 times" in state.failures[case.first[0]]
