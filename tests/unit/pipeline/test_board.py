"""The board: one byte a task, receipts asked for until seen."""

from __future__ import annotations

import pytest

from emseg.pipeline.board import Board


@pytest.fixture
def board(case) -> Board:
    return Board(case.plan, case.ledger)


def test_a_task_is_open_until_it_is_started(case, board):
    """Started tasks are not open; a reopened one is."""
    key = case.first[2]
    assert board.is_open(key)
    board.start(key)
    assert not board.is_open(key)
    board.reopen(key)
    assert board.is_open(key)
    assert sum(map(board.is_open, case.first)) == 8


def test_a_receipt_is_asked_for_until_it_is_seen(case, board, monkeypatch):
    """The ledger is asked while a receipt is absent, and never again once it was there."""
    key = case.first[0]
    assert not board.exists(key)
    case.ledger.finish(key, {"outputs": {}})
    assert board.exists(key)
    monkeypatch.setattr(case.ledger, "exists", lambda key: pytest.fail("asked again"))
    assert board.exists(key)


def test_each_task_is_counted_once(case, board):
    """However often a task is finished, its stage counts it once."""
    for _ in range(3):
        board.finish(case.first[0])
    board.finish(case.first[7])
    assert board.done == {"down": 2}


def test_tasks_do_not_share_a_place(case, board):
    """Finishing each task of a tier in turn changes that task alone."""
    for n, key in enumerate(case.first):
        assert board.is_open(key)
        board.finish(key)
        assert board.done["down"] == n + 1
    assert board.is_open(case.last)
