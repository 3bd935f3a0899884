"""What the attempt records of a key say of the present: whether someone works on it now."""

from __future__ import annotations

import json

from emseg.pipeline.receipts import Ledger

ENDS = ("done", "error", "handback")


def live_for_s(ledger: Ledger, key: str) -> float:
    """Seconds until the last live attempt of a key lapses if it never beats again; 0 if none is live."""
    folder = f"attempts/{key}"
    suffixes: dict[str, set[str]] = {}
    for name in ledger.run.list(folder):
        attempt, _, suffix = name.rsplit("/", 1)[1].partition(".")
        suffixes.setdefault(attempt, set()).add(suffix)
    running = [a for a, found in suffixes.items() if "json" in found and not found.intersection(ENDS)]
    return max([0.0, *(_left_s(ledger, f"{folder}/{a}", "beat" in suffixes[a]) for a in running)])


def _left_s(ledger: Ledger, attempt: str, beaten: bool) -> float:
    record = json.loads(ledger.run.require(f"{attempt}.json"))
    beat = json.loads(ledger.run.require(f"{attempt}.beat")) if beaten else {"at_s": record["started_s"]}
    return float(beat["at_s"]) + float(record["lease_s"]) - ledger.clock()
