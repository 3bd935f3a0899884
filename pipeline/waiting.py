"""Ready tasks that nobody works on: a queue without workers of one class waits for ever, and looks as if it went on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from emseg.pipeline.plan import Plan
from emseg.pipeline.queue_census import Census
from emseg.pipeline.queue_feed import SETTINGS, FeedSettings
from emseg.pipeline.receipts import Ledger
from emseg.pipeline.tier import Tier

LOOKED = 1000  # open tasks of a tier that are looked at


@dataclass(frozen=True)
class Waiting:
    """What a run waits for.

    Attributes:
        idle: ready tasks by class, of the classes that nobody works on; of each tier among the first LOOKED open ones.
        worked_on: whether anybody works on the run.
        queued: whether queues feed it.
        unasked: whether all is done but stitching, which nobody asked for.
    """

    idle: dict[str, int] = field(default_factory=dict)
    worked_on: bool = True
    queued: bool = False
    unasked: bool = False

    def lines(self, run_url: str) -> list[str]:
        """For people: what to start."""
        said = [self._line(task_class, count) for task_class, count in self.idle.items()]
        if self.unasked:
            said.append(
                f"all chunks are done, stitching is not asked for: `emseg stitch {run_url}`, or drive with --stitch"
            )
        return said

    def _line(self, task_class: str, count: int) -> str:
        what = f"{count if count < LOOKED else f'{LOOKED} or more'} ready tasks of class {task_class}"
        how = (
            f"start `emseg worker QUEUE --class {task_class}`" if self.queued else "the command that started it goes on"
        )
        return f"nobody works on {what}: {how}"


def waiting_of(plan: Plan, ledger: Ledger, failed: Collection[str] = ()) -> Waiting:
    """Look at the run once; `failed` keys wait for nobody."""
    queued = ledger.run.exists(SETTINGS)
    settings = FeedSettings.load(ledger.run) if queued else FeedSettings(final=True)
    census = Census(plan, ledger, [tier for tier in plan.tiers if settings.wants(tier)])
    ready = {tier.name: _ready(census, tier, failed) for tier in plan.tiers}
    busy = {t.task_class: False for t in plan.tiers}
    for tier in plan.tiers:
        if ready[tier.name] and not busy[tier.task_class]:
            busy[tier.task_class] = ledger.is_worked_on(tier.name)
    idle: dict[str, int] = {}
    for tier in census.tiers:
        if ready[tier.name] and not busy[tier.task_class]:
            idle[tier.task_class] = idle.get(tier.task_class, 0) + ready[tier.name]
    worked_on = any(busy.values())
    return Waiting(idle, worked_on, queued, census.complete and census.unwanted > 0 and not worked_on)


def _ready(census: Census, tier: Tier, failed: Collection[str]) -> int:
    return sum(key not in failed for key in census.ready_of(tier, LOOKED))
