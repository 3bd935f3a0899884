"""The heartbeat of one task: every third of a lease, renew the message and say in the ledger that we live."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from emseg.pipeline.queue import Transport
from emseg.pipeline.queue_envelope import plain
from emseg.pipeline.queue_trouble import TROUBLE
from emseg.pipeline.receipts import Ledger

log = structlog.get_logger()


@dataclass
class Heartbeat:
    """Keeps one lease; a lease that lapsed is not fatal: someone may repeat the task, and the first receipt wins."""

    transport: Transport
    ledger: Ledger
    key: str
    attempt: str
    handle: str
    lease_s: float
    clock: Callable[[], float] = time.monotonic
    next_s: float = 0.0
    lapsed: bool = False

    def __post_init__(self) -> None:
        self.next_s = self.clock() + self.lease_s / 3

    @property
    def wait_s(self) -> float:
        """Seconds until the next beat is due."""
        return max(0.0, self.next_s - self.clock())

    def beat(self) -> None:
        """Beat if it is due."""
        if self.wait_s > 0:
            return
        self.next_s = self.clock() + self.lease_s / 3
        try:
            self.ledger.beat(self.key, self.attempt)
            handle = None if self.lapsed else self.transport.renew(self.handle, self.lease_s)
        except TROUBLE as error:
            log.warning("a heartbeat failed; the next may not", key=self.key, error=plain(error))
            return
        if handle is None and not self.lapsed:
            log.warning("lease lapsed under us; the task goes on", key=self.key)
        self.lapsed = handle is None
        self.handle = handle or self.handle
