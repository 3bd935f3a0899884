"""The ledger of a run: receipts (what is done), attempts (what was tried), failures (what went wrong).

Receipts are the truth: a task is done when its receipt exists, and the first receipt wins. An attempt counts once it
ended in an error, or lapsed: its lease ran out without heartbeat, hand-back or end. Three attempts that count, or one
permanent error, quarantine a key; a receipt lifts that.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from emseg.tasks.base import canonical_json
from emseg.tasks.volume.errors import EmsegError, NotDeterministicError, TransientError
from emseg.tasks.volume.objects import Objects

ATTEMPTS_ALLOWED = 3  # a third failure is no accident


@dataclass
class Ledger:
    """Receipts, attempts and failures below a run directory."""

    run: Objects
    clock: Callable[[], float] = time.time

    def exists(self, key: str) -> bool:
        """Whether a key has a receipt."""
        return self.run.exists(f"receipts/{key}.json")

    def receipt(self, key: str) -> dict[str, Any] | None:
        """The receipt of a key, None if it has none."""
        content = self.run.get(f"receipts/{key}.json")
        return None if content is None else dict(json.loads(content))

    def receipts(self, prefix: str = "") -> Iterator[str]:
        """Keys below a prefix that have receipts."""
        below = f"receipts/{prefix}" if prefix else "receipts"
        for name in self.run.list(below):
            yield name.removeprefix("receipts/").removesuffix(".json")

    def finish(self, key: str, receipt: Mapping[str, Any]) -> bool:
        """Create the receipt; says whether it was the first.

        Raises:
            NotDeterministicError: an earlier receipt proves other bytes.
            TransientError: an earlier receipt was in the way and is gone.
        """
        if self.run.create(f"receipts/{key}.json", canonical_json(receipt)):
            return True
        first = self.receipt(key)
        if first is None:
            raise TransientError(
                f"{self.run.where(f'receipts/{key}.json')}: was in the way, and is not there; try again"
            )
        if first.get("outputs") != receipt["outputs"]:
            error = NotDeterministicError(
                f"task {key}: a second execution wrote other bytes than the first ({_unlike(first, receipt)}); "
                "compare devices and library versions in the receipt's `run`"
            )
            self.failed(key, error)
            raise error
        return False

    def begin(self, key: str, lease_s: float, worker: str) -> str:
        """Record that an attempt starts; its id."""
        attempt = uuid.uuid4().hex
        record = {"started_s": self.clock(), "lease_s": lease_s, "worker": worker}
        self.run.put(f"attempts/{key}/{attempt}.json", canonical_json(record))
        return attempt

    def beat(self, key: str, attempt: str) -> None:
        """Record that an attempt is alive."""
        self.run.put(f"attempts/{key}/{attempt}.beat", canonical_json({"at_s": self.clock()}))

    def end(self, key: str, attempt: str, outcome: str) -> None:
        """Record how an attempt ended: done, error or handback."""
        self.run.put(f"attempts/{key}/{attempt}.{outcome}", canonical_json({"at_s": self.clock()}))

    def failed(self, key: str, error: Exception) -> None:
        """Record an error of a task."""
        record = {
            "error": type(error).__name__,
            "message": str(error),
            "permanent": isinstance(error, EmsegError) and error.permanent,
            "at_s": self.clock(),
        }
        self.run.put(f"failures/{key}/{uuid.uuid4().hex}.json", canonical_json(record))

    def failures(self, key: str) -> list[dict[str, Any]]:
        """Recorded errors of a key, in order of time."""
        found = [json.loads(self.run.require(name)) for name in self.run.list(f"failures/{key}")]
        return sorted(found, key=lambda f: float(f["at_s"]))

    def counted(self, key: str) -> int:
        """Number of attempts that count against a key."""
        names = [n.rsplit("/", 1)[1] for n in self.run.list(f"attempts/{key}")]
        ends = {n.split(".")[0]: n.split(".")[1] for n in names if n.split(".")[1] in ("done", "error", "handback")}
        started = [n.split(".")[0] for n in names if n.endswith(".json")]
        return sum(ends[a] == "error" if a in ends else self._lapsed(key, a) for a in started)

    def quarantined(self, key: str) -> bool:
        """Whether a key has failed for good or too often, and has no receipt."""
        if self.exists(key):
            return False
        return any(f["permanent"] for f in self.failures(key)) or self.counted(key) >= ATTEMPTS_ALLOWED

    def forgive(self, key: str) -> None:
        """Forget failures and attempts, so that a mended task may run again."""
        for name in [*self.run.list(f"failures/{key}"), *self.run.list(f"attempts/{key}")]:
            self.run.delete(name)

    def _lapsed(self, key: str, attempt: str) -> bool:
        record = json.loads(self.run.require(f"attempts/{key}/{attempt}.json"))
        beat = self.run.get(f"attempts/{key}/{attempt}.beat")
        last_s = float(json.loads(beat)["at_s"] if beat else record["started_s"])
        return self.clock() > last_s + float(record["lease_s"])


def _unlike(first: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    a, b = first.get("outputs", {}), second["outputs"]
    return str(next(name for name in sorted({*a, *b}) if a.get(name) != b.get(name)))
