"""How far a run is, from its receipts alone: planned, done, failed, missing by stage, and when it should end."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from emseg.pipeline.plan import Plan
from emseg.pipeline.queue_census import Census
from emseg.pipeline.receipts import Ledger

SAMPLE = 64  # receipts read to learn the rate


@dataclass(frozen=True)
class Status:
    """Counts by stage; `eta_s` is None while nothing, or everything, is done. `failures`: key -> last message.

    A task whose receipt a later execution contradicts counts as failed, not as done.
    """

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
    failures, failed = dict(_failures(ledger)), dict.fromkeys(planned, 0)
    for key in failures:
        failed[plan.tier_of(key).stage] += 1
        done[plan.tier_of(key).stage] -= ledger.exists(key)
    missing = {stage: planned[stage] - done[stage] - failed[stage] for stage in planned}
    eta_s = _eta_s(ledger, sample, sum(done.values()), sum(missing.values()))
    return Status(planned, done, failed, missing, eta_s, failures)


def missing_keys(plan: Plan, ledger: Ledger, count: int) -> list[str]:
    """The first keys of chunk stages that lack receipts, from one listing of the receipts."""
    tiers = [tier for tier in plan.tiers if tier.chunked]
    census = Census(plan, ledger, tiers)
    if census.complete:
        return []
    return list(itertools.islice((k for tier in tiers for k in tier.keys() if not census.exists(k)), count))


def _receipted(plan: Plan, ledger: Ledger) -> Iterator[str]:
    for tier in plan.tiers:
        yield from ledger.receipts(tier.name)


def retry(ledger: Ledger) -> int:
    """Forgive every task that failed for good, and those whose workers were lost too often; how many."""
    keys = {*(key for key, _ in _failures(ledger)), *ledger.lapsed_keys()}
    for key in keys:
        ledger.forgive(key)
    return len(keys)


def _failures(ledger: Ledger) -> Iterator[tuple[str, str]]:
    """Keys that are quarantined or contradicted, each with its last message."""
    for key in ledger.failed_keys():
        if ledger.quarantined(key) or ledger.contradicted(key):
            last = ledger.failures(key)[-1:]
            yield key, last[0]["message"] if last else "forgiven meanwhile"


def _eta_s(ledger: Ledger, sample: list[str], done: int, missing: int) -> float | None:
    if not done or not missing:
        return None
    ends = [(ledger.receipt(key) or {"run": {"finished_s": 0.0}})["run"] for key in sample]
    first = min(e["finished_s"] - e.get("seconds", {}).get("total", 0.0) for e in ends)
    span_s = max(max(e["finished_s"] for e in ends) - first, 1e-3)
    return float(missing * span_s / done)
