"""How far a run is, from its receipts alone: planned, done, failed, missing by stage, and when it should end."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from emseg.pipeline.plan import Plan
from emseg.pipeline.receipts import Ledger

SAMPLE = 64  # receipts read to learn the rate


@dataclass(frozen=True)
class Status:
    """Counts by stage; `eta_s` is None while nothing, or everything, is done. `failures`: key -> last message."""

    planned: dict[str, int]
    done: dict[str, int]
    failed: dict[str, int]
    missing: dict[str, int]
    eta_s: float | None
    failures: dict[str, str]

    @property
    def complete(self) -> bool:
        """Whether every task has a receipt."""
        return not any(self.missing.values()) and not any(self.failed.values())

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def status_of(plan: Plan, ledger: Ledger) -> Status:
    """Compare plan and receipts."""
    planned = plan.planned()
    done = dict.fromkeys(planned, 0)
    sample: list[str] = []
    for number, key in enumerate(_receipted(plan, ledger)):
        done[plan.tier_of(key).stage] += 1
        if number < SAMPLE:
            sample.append(key)
        elif number % (number // SAMPLE + 1) == 0:
            sample[number % SAMPLE] = key
    failures = dict(_quarantined(plan, ledger))
    failed = dict.fromkeys(planned, 0)
    for key in failures:
        failed[plan.tier_of(key).stage] += 1
    missing = {stage: planned[stage] - done[stage] - failed[stage] for stage in planned}
    eta_s = _eta_s(ledger, sample, sum(done.values()), sum(missing.values()))
    return Status(planned, done, failed, missing, eta_s, failures)


def missing_keys(plan: Plan, ledger: Ledger, count: int) -> list[str]:
    """The first keys of chunk stages that lack receipts."""
    chunks = (key for tier in plan.tiers if tier.chunked for key in tier.keys())
    return list(itertools.islice((k for k in chunks if not ledger.exists(k)), count))


def _receipted(plan: Plan, ledger: Ledger) -> Iterator[str]:
    for tier in plan.tiers:
        yield from ledger.receipts(tier.name)


def _quarantined(plan: Plan, ledger: Ledger) -> Iterator[tuple[str, str]]:
    names = {n.rsplit("/", 1)[0].removeprefix("failures/") for n in ledger.run.list("failures")}
    for key in sorted(names):
        if ledger.quarantined(key):
            yield key, ledger.failures(key)[-1]["message"]


def _eta_s(ledger: Ledger, sample: list[str], done: int, missing: int) -> float | None:
    if not done or not missing:
        return None
    ends = [(ledger.receipt(key) or {"run": {"finished_s": 0.0}})["run"] for key in sample]
    first = min(e["finished_s"] - e.get("seconds", {}).get("total", 0.0) for e in ends)
    span_s = max(max(e["finished_s"] for e in ends) - first, 1e-3)
    return float(missing * span_s / done)
