"""The driver: feeds an engine's bounded window with ready tasks and records what becomes of them.

It is the parent of local and Dask runs: it writes the attempt before each submit and the receipt after, and it may die
at any moment: run it again and it goes on from the receipts. What a finished task made ready goes first, so that
intermediate results are used while they are warm and few wait.
"""

from __future__ import annotations

import platform
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from emseg.pipeline.board import Board
from emseg.pipeline.child import Outcome
from emseg.pipeline.execute import message_of
from emseg.pipeline.plan import Plan
from emseg.pipeline.receipts import Ledger
from emseg.pipeline.tier import Tier
from emseg.tasks.volume.errors import NotDeterministicError

LEASE_S = 24 * 3600.0  # the driver sees deaths itself; a lease matters only if the driver is lost
POLL_S = 0.5
log = structlog.get_logger()


class Engine(Protocol):
    """What runs tasks: processes here, or Dask workers."""

    name: str

    @property
    def free(self) -> int:
        """How many tasks it would take now."""

    def submit(self, key: str, attempt: str, message: str, task_class: str) -> None:
        """Start a task."""

    def outcomes(self, timeout_s: float) -> list[Outcome]:
        """What ended since the last call."""

    def close(self) -> None:
        """Let go of all workers."""


@dataclass
class Tally:
    """Progress of a run: tasks by stage."""

    planned: dict[str, int]
    done: dict[str, int] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every planned task is done."""
        return all(self.done.get(stage, 0) == n for stage, n in self.planned.items())


class Driver:
    """One run of (a part of) a plan on one engine."""

    def __init__(
        self,
        plan: Plan,
        ledger: Ledger,
        engine: Engine,
        *,
        wanted: Callable[[Tier], bool] = lambda tier: True,
        watch: Callable[[Tally], None] = lambda tally: None,
    ) -> None:
        self.plan, self.ledger, self.engine, self.watch = plan, ledger, engine, watch
        self.tiers = [t for t in plan.tiers if wanted(t)]
        self.board = Board(plan, ledger)
        planned: dict[str, int] = {}
        for tier in self.tiers:
            planned[tier.stage] = planned.get(tier.stage, 0) + len(tier.grid)
        self.tally = Tally(planned, self.board.done)
        self.queue: deque[str] = deque()
        self.running: dict[str, str] = {}

    def run(self) -> Tally:
        """Run until nothing more can be done; what failed stands in the tally."""
        walk = self._walk()
        try:
            while self._fill(walk) or self.running:
                for outcome in self.engine.outcomes(POLL_S):
                    self._settle(outcome)
                self.watch(self.tally)
        finally:
            for key, attempt in self.running.items():
                self.ledger.end(key, attempt, "handback")
        return self.tally

    def _walk(self) -> Iterator[str]:
        """Keys that are ready when passed, tier by tier; others are found when their last producer ends."""
        for tier in self.tiers:
            for key in tier.keys():
                if self._startable(key):
                    yield key

    def _fill(self, walk: Iterator[str]) -> bool:
        while self.engine.free > 0:
            key = self.queue.popleft() if self.queue else next(walk, None)
            if key is None:
                return False
            if self.board.is_open(key):
                self._submit(key)
        return True

    def _submit(self, key: str) -> None:
        self.board.start(key)
        if self.ledger.quarantined(key):
            self._give_up(key)
            return
        attempt = self.ledger.begin(key, LEASE_S, f"{self.engine.name}@{platform.node()}")
        self.running[key] = attempt
        message = message_of(self.plan, self.ledger.run.url, key)
        self.engine.submit(key, attempt, message, self.plan.tier_of(key).task_class)

    def _settle(self, outcome: Outcome) -> None:
        key = outcome.key
        attempt = self.running.pop(key)
        if outcome.receipt is None:
            self._failed(key, attempt, outcome)
            return
        try:
            self.ledger.finish(key, outcome.receipt)
        except NotDeterministicError as error:
            self.tally.failed[key] = str(error)
        self.ledger.end(key, attempt, "done")
        self.board.finish(key)
        wanted = {t.name for t in self.tiers}
        self.queue.extend(k for k in self.plan.dependants(key) if k.rsplit("/", 1)[0] in wanted and self._startable(k))

    def _startable(self, key: str) -> bool:
        return self.board.is_open(key) and not self.board.exists(key) and self.plan.ready(key, self.board.exists)

    def _failed(self, key: str, attempt: str, outcome: Outcome) -> None:
        log.warning("task failed", key=key, error=outcome.error, message=outcome.message, trace=outcome.trace)
        self.ledger.failed(key, outcome.exception)
        self.ledger.end(key, attempt, "error")
        if self.ledger.quarantined(key):
            self._give_up(key)
        else:
            self.board.reopen(key)
            self.queue.append(key)

    def _give_up(self, key: str) -> None:
        failures = self.ledger.failures(key)
        self.tally.failed[key] = failures[-1]["message"] if failures else "lapsed too often"
