"""The driver of queue runs: compares plan and receipts, and puts back what the queues have lost.

It may be stopped and started at any moment, and run nowhere at all: workers feed each other, and this heals what is
torn (a purged queue, a worker killed between receipt and dependants, a message set aside). A ready task without a
receipt, quarantine or live attempt should have a message that waits; when fewer messages wait than there are such
tasks, in two sweeps in a row or with the queues empty, the missing number is enqueued again. A needless message costs
one look at a receipt.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

from emseg.pipeline.derived import origin
from emseg.pipeline.plan import Plan, base_url, load_plan
from emseg.pipeline.queue import TASK_CLASSES, Queues
from emseg.pipeline.queue_census import Census
from emseg.pipeline.queue_feed import FeedSettings, enqueue
from emseg.pipeline.queue_message import Size
from emseg.pipeline.queue_signals import Stop
from emseg.pipeline.receipts import Ledger
from emseg.tasks.volume.errors import ConfigError
from emseg.tasks.volume.objects import Objects
from emseg.tasks.volume.url import redacted

EVERY_S = 30.0
DUTY = 10  # a sweep of a large run may take minutes: rest at least this many times longer


@dataclass(frozen=True)
class Sweep:
    """What one comparison found and did.

    `holes` are ready tasks that nobody works on; `contradicted` done ones of which a later execution wrote other bytes;
    `unasked` counts tasks of stitching that may not start yet: they are in neither `planned` nor `done`.
    """

    planned: dict[str, int]
    done: dict[str, int]
    queued: Size
    holes: int
    live: int
    enqueued: int
    quarantined: tuple[str, ...]
    contradicted: tuple[str, ...]
    unasked: int
    dead: int

    @property
    def complete(self) -> bool:
        """Whether every wanted task has a receipt that nobody contradicts."""
        return self.done == self.planned and not self.contradicted

    @property
    def stuck(self) -> bool:
        """Whether nothing can go on: what is left waits for quarantined tasks."""
        return not (self.complete or self.queued.total or self.holes or self.live)


@dataclass
class Sweeper:
    """Sweeps one run and remembers what it put back."""

    plan: Plan
    ledger: Ledger
    queues: Queues
    lacked: bool = False
    recent: set[str] = field(default_factory=set)

    def sweep(self, *, patient: bool = True) -> Sweep:
        """Compare once; put back at most one window of tasks. Patient: trust a shortfall only when seen twice."""
        settings = FeedSettings.load(self.ledger.run)
        queued, dead = self._queued()  # before the receipts: what is done meanwhile then only looks open
        census = Census(self.plan, self.ledger, [t for t in self.plan.tiers if settings.wants(t)])
        holes, live, quarantined = self._holes(census, settings.window)
        lacking = min(len(holes) - queued.waiting, settings.window - queued.total)
        act = lacking > 0 and (queued.total == 0 or self.lacked or not patient)
        self.lacked = lacking > 0 and not act
        again = [k for k in holes if k not in self.recent] or holes
        enqueued = enqueue(self.plan, self.ledger, self.queues, again[:lacking]) if act else 0
        self.recent = set(again[:lacking]) if act else self.recent
        return Sweep(
            *(census.planned, census.done, queued, len(holes), live, enqueued, quarantined),
            *(tuple(filter(self._contradicted, self.ledger.failed_keys())), census.unwanted, dead),
        )

    def _queued(self) -> tuple[Size, int]:
        """Messages in the queues of all classes that the plan uses, and those set aside."""
        used = {t.task_class for t in self.plan.tiers}
        transports = [self.queues.of(c) for c in TASK_CLASSES if c in used]
        sizes = [t.size() for t in transports]
        return Size(sum(s.waiting for s in sizes), sum(s.leased for s in sizes)), sum(t.dead() for t in transports)

    def _holes(self, census: Census, limit: int) -> tuple[list[str], int, tuple[str, ...]]:
        """Ready tasks that nobody works on (at most `limit`), number of live ones met, and quarantined ones met."""
        states: dict[str, list[str]] = {"hole": [], "live": [], "quarantined": []}
        ready = ((self._state(key), key) for key in census.ready())
        while len(states["hole"]) < limit and (found := list(islice(ready, 1))):
            states[found[0][0]].append(found[0][1])
        return states["hole"], len(states["live"]), tuple(states["quarantined"])

    def _state(self, key: str) -> str:
        if self.ledger.given_up(key):
            return "quarantined"
        return "live" if self.ledger.live_for_s(key) > 0 else "hole"

    def _contradicted(self, key: str) -> bool:
        return self.ledger.exists(key) and self.ledger.contradicted(key)


def drive(
    run_url: str,
    queue_url: str,
    *,
    window: int | None = None,
    final: bool | None = None,
    every_s: float = EVERY_S,
    watch: Callable[[Sweep], None] = lambda sweep: None,
) -> Sweep:
    """Sweep until the run is complete, stuck behind quarantined tasks, or a stop is asked for; the last sweep.

    Args:
        window: messages in the queues at most; None keeps what the run says.
        final: whether tasks of stitching may start; None keeps what the run says.
        watch: told every sweep but the last.

    Raises:
        ConfigError: a cut, a sweep or an audit, of which no task may start.
    """
    sweeper = _sweeper(run_url, queue_url)
    run = sweeper.ledger.run
    before = FeedSettings.load(run)
    settings = FeedSettings(before.window if window is None else window, before.final if final is None else final)
    _require_wanted(sweeper.plan, run, settings)
    if settings != before:
        settings.store(run)
    with Stop() as stop:
        while True:
            start_s = time.monotonic()
            sweep = sweeper.sweep()
            if sweep.complete or sweep.stuck or stop.requested:
                return sweep
            watch(sweep)
            stop.wait([], max(every_s, DUTY * (time.monotonic() - start_s)))


def repair(run_url: str, queue_url: str) -> Sweep:
    """Compare plan and receipts once and enqueue the holes that no waiting message accounts for."""
    sweeper = _sweeper(run_url, queue_url)
    _require_wanted(sweeper.plan, sweeper.ledger.run, FeedSettings.load(sweeper.ledger.run))
    return sweeper.sweep(patient=False)


def _require_wanted(plan: Plan, run: Objects, settings: FeedSettings) -> None:
    """Refuse a derived run whose tasks are all of stitching, where stitching may not start."""
    if plan.derived and not any(map(settings.wants, plan.tiers)):
        raise ConfigError(
            f"{redacted(run.url)} is {origin(run)} and has tasks of stitching only: give "
            f"{redacted(base_url(run.url))}, or finish this one with `emseg drive --stitch`"
        )


def _sweeper(run_url: str, queue_url: str) -> Sweeper:
    run = Objects(run_url)
    return Sweeper(load_plan(run), Ledger(run), Queues(queue_url))
