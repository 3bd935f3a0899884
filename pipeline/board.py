"""What a driver knows of each task, one byte a task: a plan may have 30 million."""

from __future__ import annotations

from emseg.pipeline.plan import Plan
from emseg.pipeline.receipts import Ledger
from emseg.pipeline.tier import Tier

OPEN, STARTED, DONE = 0, 1, 2


class Board:
    """State of every task; a receipt is asked for until it is seen, and counted once."""

    def __init__(self, plan: Plan, ledger: Ledger) -> None:
        self.plan, self.ledger = plan, ledger
        self.state: dict[str, bytearray] = {}
        self.done: dict[str, int] = {}

    def is_open(self, key: str) -> bool:
        """Whether a task is neither started nor known to be done."""
        tier, place = self._place(key)
        return self._row(tier)[place] == OPEN

    def exists(self, key: str) -> bool:
        """Whether a task has a receipt."""
        tier, place = self._place(key)
        if self._row(tier)[place] != DONE and self.ledger.exists(key):
            self.finish(key)
        return self._row(tier)[place] == DONE

    def start(self, key: str) -> None:
        """Note that a task was given to the engine."""
        self._set(key, STARTED)

    def reopen(self, key: str) -> None:
        """Note that a task may be tried again."""
        self._set(key, OPEN)

    def finish(self, key: str) -> None:
        """Note that a task has a receipt."""
        tier, place = self._place(key)
        if self._row(tier)[place] != DONE:
            self._row(tier)[place] = DONE
            self.done[tier.stage] = self.done.get(tier.stage, 0) + 1

    def _set(self, key: str, state: int) -> None:
        tier, place = self._place(key)
        self._row(tier)[place] = state

    def _row(self, tier: Tier) -> bytearray:
        if tier.name not in self.state:
            self.state[tier.name] = bytearray(len(tier.grid))
        return self.state[tier.name]

    def _place(self, key: str) -> tuple[Tier, int]:
        tier = self.plan.tier_of(key)
        return tier, tier.grid.place(tier.grid.index_of(key.rsplit("/", 1)[1]))
