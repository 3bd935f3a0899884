"""A census of a run: which tasks have receipts, by listing them, one byte a task; and which are ready holes."""

from __future__ import annotations

from collections.abc import Iterator

from emseg.pipeline.plan import Plan
from emseg.pipeline.receipts import Ledger
from emseg.pipeline.tier import Tier

OPEN, DONE = 0, 1


class Census:
    """What the receipts said when they were listed; a task done since then is still open here."""

    def __init__(self, plan: Plan, ledger: Ledger, tiers: list[Tier]) -> None:
        self.plan, self.tiers = plan, tiers
        self.rows = {t.name: bytearray(len(t.grid)) for t in plan.tiers}
        for tier in plan.tiers:
            for key in ledger.receipts(tier.name):
                self.rows[tier.name][_place(tier, key)] = DONE

    @property
    def planned(self) -> dict[str, int]:
        """Number of wanted tasks by stage."""
        return self._by_stage({t.name: len(t.grid) for t in self.tiers})

    @property
    def done(self) -> dict[str, int]:
        """Number of wanted tasks with receipts by stage."""
        return self._by_stage({t.name: self.rows[t.name].count(DONE) for t in self.tiers})

    @property
    def complete(self) -> bool:
        """Whether every wanted task has a receipt."""
        return self.done == self.planned

    @property
    def unwanted(self) -> int:
        """Number of tasks without receipts that nobody wants yet: stitching that was not asked for."""
        wanted = {t.name for t in self.tiers}
        return sum(row.count(OPEN) for name, row in self.rows.items() if name not in wanted)

    def exists(self, key: str) -> bool:
        """Whether a task had a receipt."""
        tier = self.plan.tier_of(key)
        return self.rows[tier.name][_place(tier, key)] == DONE

    def ready(self) -> Iterator[str]:
        """Wanted tasks without a receipt whose producers all have one."""
        for tier in self.tiers:
            yield from self.ready_of(tier)

    def ready_of(self, tier: Tier, looked: int | None = None) -> Iterator[str]:
        """The same of one tier, wanted or not; among the first `looked` open ones."""
        row = self.rows[tier.name]
        place = row.find(OPEN)
        while place >= 0 and looked != 0:
            key = tier.key(tier.grid.index(place))
            if self.plan.ready(key, self.exists):
                yield key
            place = row.find(OPEN, place + 1)
            looked = None if looked is None else looked - 1

    def _by_stage(self, counts: dict[str, int]) -> dict[str, int]:
        stages: dict[str, int] = {}
        for tier in self.tiers:
            stages[tier.stage] = stages.get(tier.stage, 0) + counts[tier.name]
        return stages


def _place(tier: Tier, key: str) -> int:
    return tier.grid.place(tier.grid.index_of(key.rsplit("/", 1)[1]))
