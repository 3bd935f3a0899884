"""What goes into the queues: the first window of starting tasks, then whatever a finished task made possible.

The window and whether stitching has begun stand in `queue.json` of the run; the plan knows nothing of queues. A
starting task that was given up has a successor like any other, so that one bad chunk does not cut the chain behind it.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from emseg.pipeline.execute import message_of
from emseg.pipeline.plan import Plan
from emseg.pipeline.queue import Queues
from emseg.pipeline.queue_order import StartOrder
from emseg.pipeline.receipts import Ledger
from emseg.pipeline.tier import Tier
from emseg.tasks.base import canonical_json
from emseg.tasks.volume.errors import ConfigError
from emseg.tasks.volume.objects import Objects

SETTINGS = "queue.json"
DEFAULT_WINDOW = 1000


@dataclass(frozen=True)
class FeedSettings:
    """How a run is fed: starting tasks in flight, and whether tasks of stitching may start."""

    window: int = DEFAULT_WINDOW
    final: bool = False

    def __post_init__(self) -> None:
        if self.window < 1:
            raise ConfigError(f"window {self.window}: at least one starting task must be in flight")

    def wants(self, tier: Tier) -> bool:
        """Whether tasks of a tier may run."""
        return self.final or not tier.final

    def store(self, run: Objects) -> None:
        """Write into the run directory."""
        run.put(SETTINGS, canonical_json(vars(self)))

    @classmethod
    def load(cls, run: Objects) -> FeedSettings:
        """Settings of a run; defaults if nobody has stored any."""
        content = run.get(SETTINGS)
        if content is None:
            return cls()
        try:
            raw: dict[str, Any] = json.loads(content)
            return cls(int(raw["window"]), bool(raw["final"]))
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{run.where(SETTINGS)} cannot be read ({error}); remove it and feed again") from None


def enqueue_start(plan: Plan, ledger: Ledger, queues: Queues, window: int, *, final: bool | None = None) -> int:
    """Store the settings and enqueue the first `window` starting tasks that can run; how many are there.

    After a restart every chain i, i + window, i + 2·window … goes on at its first task that is neither done nor given
    up.

    Args:
        final: whether tasks of stitching may start; None keeps what the run says.
    """
    settings = FeedSettings(window, FeedSettings.load(ledger.run).final if final is None else final)
    settings.store(ledger.run)
    order = StartOrder.of(plan, settings.final)
    over = _over(ledger, order)
    heads = (next((i for i in range(r, len(order), window) if not over[i]), len(order)) for r in range(window))
    return enqueue(plan, ledger, queues, [head for i in heads if (head := order.key(i)) is not None])


def _over(ledger: Ledger, order: StartOrder) -> bytearray:
    """One byte a starting task: 1 where it is done or given up."""
    over = bytearray(len(order))
    receipts = itertools.chain.from_iterable(ledger.receipts(tier.name) for tier in order.tiers)
    given_up = (key for key in ledger.failed_keys() if ledger.quarantined(key))
    for key in itertools.chain(receipts, given_up):
        place = order.place(key)
        if place is not None:
            over[place] = 1
    return over


def enqueue(plan: Plan, ledger: Ledger, queues: Queues, keys: list[str]) -> int:
    """Put tasks into the queues of their classes; how many are there for certain."""
    run_url = ledger.run.url
    return queues.insert((plan.tier_of(k).task_class, message_of(plan, run_url, k)) for k in keys)


def enqueue_after(plan: Plan, ledger: Ledger, queues: Queues, key: str) -> int:
    """Enqueue what a finished task made possible: ready dependants, and its successor among the starting tasks."""
    settings = FeedSettings.load(ledger.run)
    keys = [*_dependants(plan, ledger, settings, key), *_successor(plan, ledger, settings, key)]
    return enqueue(plan, ledger, queues, keys)


def enqueue_behind(plan: Plan, ledger: Ledger, queues: Queues, key: str) -> int:
    """Enqueue what a task that was given up does not hold up: its successor among the starting tasks."""
    return enqueue(plan, ledger, queues, list(_successor(plan, ledger, FeedSettings.load(ledger.run), key)))


def _dependants(plan: Plan, ledger: Ledger, settings: FeedSettings, key: str) -> Iterator[str]:
    known: dict[str, bool] = {key: True}

    def exists(k: str) -> bool:
        if k not in known:
            known[k] = ledger.exists(k)
        return known[k]

    for dependant in plan.dependants(key):
        if settings.wants(plan.tier_of(dependant)) and not exists(dependant) and plan.ready(dependant, exists):
            yield dependant


def _successor(plan: Plan, ledger: Ledger, settings: FeedSettings, key: str) -> Iterator[str]:
    order = StartOrder.of(plan, settings.final)
    place = order.place(key)
    if place is None:
        return
    for later in range(place + settings.window, len(order), settings.window):
        candidate = order.key(later)
        if candidate is not None and not ledger.exists(candidate):
            yield candidate
            return
