"""The driver: feeds an engine's bounded window with ready tasks and records what becomes of them.

It is the parent of local and Dask runs: it writes the attempt before each submit and the receipt after, and it may die
at any moment: run it again and it goes on from the receipts. What a finished task made ready goes first, so that
intermediate results are used while they are warm and few wait. While it lives it beats for what runs; asked to stop, it
hands back. A task that met trouble of storage hands back too and is tried later, and later each time.
"""

from __future__ import annotations

import platform
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from emseg.pipeline.board import Board
from emseg.pipeline.child import Outcome
from emseg.pipeline.execute import message_of
from emseg.pipeline.plan import Plan
from emseg.pipeline.postponed import Postponed
from emseg.pipeline.queue_signals import Stop
from emseg.pipeline.queue_trouble import TROUBLE
from emseg.pipeline.receipts import Ledger
from emseg.pipeline.tier import Tier
from emseg.tasks.volume.errors import LayerError, NotDeterministicError, TransientError

LEASE_S = 300.0  # the driver sees deaths itself; a lease matters only if the driver is lost
BEAT_S = LEASE_S / 3
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
        stop: Stop | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.plan, self.ledger, self.engine, self.watch = plan, ledger, engine, watch
        self.stop, self.clock = stop, clock
        self.tiers = [t for t in plan.tiers if wanted(t)]
        self.board = Board(plan, ledger)
        planned: dict[str, int] = {}
        for tier in self.tiers:
            planned[tier.stage] = planned.get(tier.stage, 0) + len(tier.grid)
        self.tally = Tally(planned, self.board.done)
        self.queue: deque[str] = deque()
        self.running: dict[str, str] = {}
        self.postponed = Postponed(clock)
        self.beaten_s = clock()

    def run(self) -> Tally:
        """Run until nothing more can be done; what failed stands in the tally.

        Raises:
            KeyboardInterrupt: a stop was asked for; what ran is handed back.
            TransientError: storage fails again and again; run it again later.
        """
        walk = self._walk()
        try:
            while self._fill(walk) or self.running or self.postponed:
                for outcome in self.engine.outcomes(POLL_S):
                    self._settle(outcome)
                self.watch(self.tally)
                self._beat()
                if self._stopped:
                    raise KeyboardInterrupt
        finally:
            self._hand_back()
        return self.tally

    @property
    def _stopped(self) -> bool:
        return self.stop is not None and self.stop.requested

    def _hand_back(self) -> None:
        for key, attempt in self.running.items():
            try:
                self.ledger.end(key, attempt, "handback")
            except (*TROUBLE, LayerError) as error:  # the others are handed back all the same
                log.warning("not handed back; it lapses", key=key, lease_s=LEASE_S, error=str(error))

    def _beat(self) -> None:
        """Say in the ledger that what runs is alive, when that is due."""
        if self.clock() < self.beaten_s + BEAT_S:
            return
        self.beaten_s = self.clock()
        for key, attempt in self.running.items():
            try:
                self.ledger.beat(key, attempt)
            except TROUBLE as error:
                log.warning("a heartbeat failed; the next may not", key=key, error=str(error))

    def _walk(self) -> Iterator[str]:
        """Keys that are ready when passed, tier by tier; others are found when their last producer ends."""
        for tier in self.tiers:
            for key in tier.keys():
                if self._startable(key):
                    yield key

    def _fill(self, walk: Iterator[str]) -> bool:
        self.queue.extend(self.postponed.due())
        while self.engine.free > 0:
            key = self.queue.popleft() if self.queue else next(walk, None)
            if key is None:
                return False
            if self.board.is_open(key):
                self._submit(key)
        return True

    def _submit(self, key: str) -> None:
        self.board.start(key)
        if self.ledger.given_up(key):
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
        self.postponed.passed(key)
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
        if self._stopped:  # SIGTERM reaches children too: a death now is no error
            self.running[key] = attempt
            return
        if outcome.transient:
            self._postpone(key, attempt, outcome)
            return
        log.warning("task failed", key=key, error=outcome.error, message=outcome.message, trace=outcome.trace)
        self.ledger.failed(key, outcome.exception)
        self.ledger.end(key, attempt, "error")
        if self.ledger.given_up(key):
            self._give_up(key)
        else:
            self.board.reopen(key)
            self.queue.append(key)

    def _give_up(self, key: str) -> None:
        self.tally.failed[key] = self.ledger.failures(key)[-1]["message"]

    def _postpone(self, key: str, attempt: str, outcome: Outcome) -> None:
        """Trouble of storage is not the task's fault: hand back, and try later."""
        log.warning("task postponed", key=key, error=outcome.error, message=outcome.message)
        self.ledger.end(key, attempt, "handback")
        self.board.reopen(key)
        if not self.postponed.add(key):
            raise TransientError(
                f"task {key} met trouble {self.postponed.times(key)} times in a row and no other was done meanwhile "
                f"({outcome.error}: {outcome.message}); run again when storage is well: finished tasks are kept"
            )
