"""Tasks that met trouble of storage: each is tried later, twice as late each time, until trouble is all there is."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

RETRY_S, RETRY_CAP_S = 1.0, 60.0
TROUBLES_ALLOWED = 8  # of one task in a row while no other is done: some two minutes


@dataclass
class Postponed:
    """Keys with the time before which they are not tried."""

    clock: Callable[[], float]
    _waiting: list[tuple[float, str]] = field(default_factory=list)
    _times: dict[str, int] = field(default_factory=dict)
    _in_vain: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, key: str) -> bool:
        """Postpone a key; whether there is hope: it, or another task, may yet go through."""
        self._times[key] = self.times(key) + 1
        self._in_vain[key] = self._in_vain.get(key, 0) + 1
        delay_s = min(RETRY_S * 2.0 ** (self._times[key] - 1), RETRY_CAP_S)
        heapq.heappush(self._waiting, (self.clock() + delay_s, key))
        return self._in_vain[key] < TROUBLES_ALLOWED

    def due(self) -> Iterator[str]:
        """Keys whose time has come; they are postponed no more."""
        while self._waiting and self._waiting[0][0] <= self.clock():
            yield heapq.heappop(self._waiting)[1]

    def passed(self, key: str) -> None:
        """Note that a task was done: its own troubles are over, and those of others may be."""
        self._times.pop(key, None)
        self._in_vain.clear()

    def times(self, key: str) -> int:
        """How often a key has been postponed since it was last done."""
        return self._times.get(key, 0)
