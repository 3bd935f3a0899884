"""SIGTERM, SIGINT and the death of the process that started us, as something a loop can wait for.

Preemption must not cost more than one task, and a worker whose supervisor is gone must not work on unseen.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing.connection import wait
from types import FrameType
from typing import Any, Self

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """Notes a request to stop; `wait` returns at once when there is one. Use as a context in the main thread."""

    def __init__(self) -> None:
        self.requested = False
        self._reader, self._writer = os.pipe()
        parent = multiprocessing.parent_process()
        self._parent: list[Any] = [] if parent is None else [parent.sentinel]
        self._before: dict[int, Any] = {}

    def request(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Ask for a stop: the signal handler."""
        if not self.requested:
            self.requested = True
            os.write(self._writer, b"x")

    def wait(self, waitables: list[Any], timeout_s: float) -> None:
        """Sleep until something is ready, a stop is asked for, or the time is up."""
        ready = wait([*waitables, self._reader, *self._parent], max(0.0, timeout_s))
        if any(sentinel in ready for sentinel in self._parent):
            self.request()

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self.request) for number in SIGNALS}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._reader)
        os.close(self._writer)
