"""Prove a run: the digest of every object that a receipt names, against what is stored."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from emseg.pipeline.plan import Plan
from emseg.pipeline.receipts import Ledger

THREADS = 4


@dataclass
class Checked:
    """What a check found: objects looked at, and the names of altered and of absent ones."""

    objects: int = 0
    corrupt: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether every object is there and as it was written."""
        return not self.corrupt and not self.missing

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def check_run(plan: Plan, ledger: Ledger, watch: Callable[[int], None] = lambda done: None) -> Checked:
    """Read every object that receipts of the plan name and compare digests."""
    found = Checked()
    with ThreadPoolExecutor(THREADS) as pool:
        for tier in plan.tiers:
            for key in ledger.receipts(tier.name):
                outputs = (ledger.receipt(key) or {}).get("outputs", {})
                states = pool.map(lambda item: _state(ledger, *item), outputs.items())
                for name, state in zip(outputs, states, strict=True):
                    found.objects += 1
                    if state:
                        getattr(found, state).append(ledger.run.where(name))
                watch(found.objects)
    return found


def _state(ledger: Ledger, name: str, digest: str) -> str:
    stored = ledger.run.get_stored(name)
    if stored is None:
        return "missing"
    return "" if stored.digest == digest else "corrupt"
