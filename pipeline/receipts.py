"""The ledger of a run: receipts (what is done), attempts (what was tried), failures (what went wrong).

Receipts are the truth: a task is done when its receipt exists, and the first receipt wins. An attempt counts once it
ended in an error, or lapsed: its lease ran out without heartbeat, hand-back or end. Three attempts that count, or one
permanent error, quarantine a key; a receipt lifts that. A later execution that wrote other bytes contradicts a receipt:
the key is done, but what is stored may be of either, so the run is not complete before it has run again.

Others may forgive a key while we look: a record that was listed and is gone says nothing.
"""

from __future__ import annotations

import itertools
import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from emseg.tasks.base import canonical_json
from emseg.tasks.volume.errors import EmsegError, NotDeterministicError, TransientError, WorkerLostError
from emseg.tasks.volume.objects import Objects

ATTEMPTS_ALLOWED = 3  # a third failure is no accident
ENDS = ("done", "fed", "error", "handback")  # fed: done, and what it made possible is in the queues


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
            where = self.run.where(f"receipts/{key}.json")
            raise TransientError(f"{where}: was in the way, and is not there; try again")
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
        """Record how an attempt ended: one of ENDS."""
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
        contents = [self.run.get(name) for name in self.run.list(f"failures/{key}")]
        return sorted((json.loads(c) for c in contents if c is not None), key=lambda f: float(f["at_s"]))

    def failed_keys(self) -> Iterator[str]:
        """Keys with recorded errors, done or not."""
        return (key for key, _ in self._folders("failures"))

    def attempts(self, key: str) -> dict[str, set[str]]:
        """What is recorded of each attempt of a key: json (it began), beat, and those of ENDS that hold."""
        return _by_attempt(self.run.list(f"attempts/{key}"))

    def is_worked_on(self, prefix: str) -> bool:
        """Whether an attempt of a key below a prefix is live."""
        for key, names in self._folders("attempts", prefix):
            running = (attempt for attempt, found in _by_attempt(names).items() if _runs(found))
            if any(self.left_s(key, attempt) > 0 for attempt in running):
                return True
        return False

    def left_s(self, key: str, attempt: str) -> float:
        """Seconds until an attempt lapses if it never beats again, negative behind that; 0 for one that is gone."""
        record = self.run.get(f"attempts/{key}/{attempt}.json")
        if record is None:
            return 0.0
        began = json.loads(record)
        beat = self.run.get(f"attempts/{key}/{attempt}.beat")
        last_s = float(json.loads(beat)["at_s"] if beat else began["started_s"])
        return last_s + float(began["lease_s"]) - self.clock()

    def live_for_s(self, key: str) -> float:
        """Seconds until the last live attempt of a key lapses if it never beats again; 0 if none is live."""
        running = [attempt for attempt, found in self.attempts(key).items() if _runs(found)]
        return max([0.0, *(self.left_s(key, a) for a in running)])

    def counted(self, key: str) -> int:
        """Number of attempts that count against a key."""
        return sum(self._counts(key, attempt, found) for attempt, found in self.attempts(key).items())

    def handed_back(self, key: str) -> int:
        """Number of attempts that were handed back: preempted, or kept from working by storage."""
        return sum("handback" in found for found in self.attempts(key).values())

    def is_fed(self, key: str) -> bool:
        """Whether what a done task made possible was put into the queues."""
        return any("fed" in found for found in self.attempts(key).values())

    def quarantined(self, key: str) -> bool:
        """Whether a key has failed for good or too often, and has no receipt."""
        if self.exists(key):
            return False
        return any(f["permanent"] for f in self.failures(key)) or self.counted(key) >= ATTEMPTS_ALLOWED

    def given_up(self, key: str) -> bool:
        """As `quarantined`; and a key that no worker lived to blame gets a failure that says so, for people to find."""
        if not self.quarantined(key):
            return False
        if not self.failures(key):
            self.failed(
                key,
                WorkerLostError(
                    f"task {key} lapsed: its worker was lost {self.counted(key)} times without a word; give workers "
                    "more memory or smaller chunks, then `emseg status RUN --retry`"
                ),
            )
        return True

    def lapsed_keys(self) -> Iterator[str]:
        """Keys that are quarantined because workers were lost, whether or not anybody has noticed."""
        for key, names in self._folders("attempts"):
            if sum(n.endswith(".json") for n in names) >= ATTEMPTS_ALLOWED and self.quarantined(key):
                yield key

    def contradicted(self, key: str) -> bool:
        """Whether a later execution wrote other bytes than the receipt proves."""
        return any(f["error"] == NotDeterministicError.__name__ for f in self.failures(key))

    def forget(self, key: str) -> None:
        """Forget that a key was done, so that it writes its objects again."""
        self.run.delete(f"receipts/{key}.json")
        self.forgive(key)

    def forgive(self, key: str) -> None:
        """Forget failures and attempts, and a receipt that was contradicted, so that the task may run again."""
        if self.contradicted(key):
            self.run.delete(f"receipts/{key}.json")  # first: the failure that proves it must outlive a kill
        for name in [*self.run.list(f"attempts/{key}"), *self.run.list(f"failures/{key}")]:
            self.run.delete(name)

    def _counts(self, key: str, attempt: str, found: set[str]) -> bool:
        if "error" in found:
            return True
        return "json" in found and not found.intersection(ENDS) and self.left_s(key, attempt) < 0

    def _folders(self, root: str, prefix: str = "") -> Iterator[tuple[str, list[str]]]:
        """Keys below a root, each with its names; the names of a key are listed together."""
        below = f"{root}/{prefix}" if prefix else root
        for folder, names in itertools.groupby(self.run.list(below), lambda name: name.rsplit("/", 1)[0]):
            yield folder.removeprefix(f"{root}/"), list(names)


def _by_attempt(names: Iterable[str]) -> dict[str, set[str]]:
    """What is recorded of each attempt, from the names of its objects."""
    found: dict[str, set[str]] = {}
    for name in names:
        attempt, _, suffix = name.rsplit("/", 1)[1].partition(".")
        found.setdefault(attempt, set()).add(suffix)
    return found


def _runs(found: set[str]) -> bool:
    """Whether an attempt began and has no end."""
    return "json" in found and not found.intersection(ENDS)


def _unlike(first: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    a, b = first.get("outputs", {}), second["outputs"]
    return str(next(name for name in sorted({*a, *b}) if a.get(name) != b.get(name)))
