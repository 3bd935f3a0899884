"""A queue worker: a parent that leases, keeps the lease, records, and a child process that executes.

The end of a task, in this order: objects (the child's, atomic), receipt, ready dependants, end of the attempt,
acknowledgement. Whatever dies in between, the message comes back when its lease is over: one whose receipt exists goes
straight to the dependants, and one that was fed already is acknowledged at once, so that duplicates do not breed. A
message that is no task is set aside. A task that failed too often, or for good, stays in the ledger as quarantined; its
message is dropped when its successor has one. A task that storage kept from working is shown again later and later, and
the attempt does not count.
"""

from __future__ import annotations

import contextlib
import platform
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import structlog

from emseg.pipeline.child import Child, Outcome
from emseg.pipeline.execute import parse_message
from emseg.pipeline.heartbeat import Heartbeat
from emseg.pipeline.plan import Plan
from emseg.pipeline.queue import Queues, Transport
from emseg.pipeline.queue_envelope import plain
from emseg.pipeline.queue_feed import enqueue_after, enqueue_behind
from emseg.pipeline.queue_message import Leased
from emseg.pipeline.queue_signals import Stop
from emseg.pipeline.queue_trouble import TROUBLE, UNREADABLE, is_poison
from emseg.pipeline.receipts import Ledger
from emseg.tasks.volume.errors import ConfigError, NotDeterministicError, TransientError
from emseg.tasks.volume.url import canonical_url

LEASE_S = 300.0
IDLE_FIRST_S, IDLE_CAP_S = 0.2, 20.0  # back-off of a worker that finds nothing
RETRY_S = 1.0  # a failed task is seen again after this, four times longer each time
TROUBLES_ALLOWED = 12  # storage or queue troubles in a row, a minute and a half of them, before a worker gives up
HAND_BACKS_ALLOWED = 30  # of one task; then trouble of storage, hours of it, counts against the task
TASK_LIMIT_S = 6 * 3600.0  # a task that takes longer hangs
log = structlog.get_logger()


@dataclass
class Served:
    """What a worker did with its messages.

    `failed` counts attempts; `given_up` tasks that failed for good or once too often here; `quarantined` messages of
    tasks that were given up before; `dead` what lies aside in the queue at the end.
    """

    done: int = 0
    failed: int = 0
    skipped: int = 0
    quarantined: int = 0
    given_up: int = 0
    set_aside: int = 0
    handed_back: int = 0
    dead: int = 0

    @property
    def sound(self) -> bool:
        """Whether no task was found that failed for good."""
        return not (self.given_up or self.quarantined)


@dataclass
class Job:
    """One leased task."""

    plan: Plan
    ledger: Ledger
    key: str
    leased: Leased


def work(
    queue_url: str,
    task_class: str = "cpu",
    *,
    device: str = "cpu",
    root: str | None = None,
    read_roots: Sequence[str] = (),
    lease_s: float = LEASE_S,
    task_limit_s: float = TASK_LIMIT_S,
    stop_when_empty_s: float | None = None,
    idle_cap_s: float = IDLE_CAP_S,
    once: bool = False,
) -> Served:
    """Serve one queue until SIGTERM or SIGINT, until it was empty for `stop_when_empty_s`, or for one message.

    Args:
        root: only runs below this URL, whose layers lie below it or, if only read, below one of `read_roots`.
        lease_s: how long a silent worker keeps a task.
        task_limit_s: a task that takes longer is ended, and that counts as a failure.

    Raises:
        ConfigError: the queue URL or the task class is not one that we serve.
        TransientError: storage or queue failed many times in a row; start the worker again later.
    """
    if read_roots and root is None:
        raise ConfigError("--read-root widens --root: give --root too, or neither")
    queues = Queues(queue_url)
    transport = queues.of(task_class)
    child = Child(device, None if root is None else canonical_url(root), tuple(map(canonical_url, read_roots)))
    with Stop() as stop:
        worker = Worker(queues, transport, child, stop, lease_s, child.root, child.read_roots, task_limit_s)
        try:
            return worker.serve(stop_when_empty_s, idle_cap_s, once)
        finally:
            child.close()


@dataclass
class Worker:
    """One worker process."""

    queues: Queues
    transport: Transport
    child: Child
    stop: Stop
    lease_s: float = LEASE_S
    root: str | None = None
    read_roots: tuple[str, ...] = ()
    task_limit_s: float = TASK_LIMIT_S
    served: Served = field(default_factory=Served)

    def serve(self, stop_when_empty_s: float | None, idle_cap_s: float, once: bool) -> Served:
        """The outermost loop: lease and handle; wait longer and longer while there is nothing."""
        idle_since_s, idle_s, troubles = time.monotonic(), IDLE_FIRST_S, 0
        while not self.stop.requested:
            try:
                found = self.step()
                troubles = 0
            except TROUBLE as error:
                found, troubles = False, self._troubled(error, troubles + 1)
            if found:
                idle_since_s, idle_s = time.monotonic(), IDLE_FIRST_S
                if once:
                    break
                continue
            if troubles == 0 and self._empty_since(idle_since_s, stop_when_empty_s):
                break
            self.stop.wait([], idle_s * random.uniform(0.5, 1.0))  # noqa: S311  jitter
            idle_s = min(2 * idle_s, idle_cap_s)
        with contextlib.suppress(*TROUBLE):
            self.served.dead = self.transport.dead()
        log.info("worker ends", **vars(self.served))
        return self.served

    def step(self) -> bool:
        """Handle one message; whether there was one."""
        leased = self.transport.lease(self.lease_s)
        if leased is None:
            return False
        job = self._parsed(leased)
        if job is not None:
            self._handle(job)
        return True

    def _troubled(self, error: Exception, troubles: int) -> int:
        log.warning("storage or queue trouble", error=plain(error), times=troubles)
        if troubles >= TROUBLES_ALLOWED:
            raise TransientError(f"storage or queue failed {troubles} times in a row: {plain(error)}") from error
        return troubles

    def _empty_since(self, idle_since_s: float, stop_when_empty_s: float | None) -> bool:
        if stop_when_empty_s is None or time.monotonic() - idle_since_s < stop_when_empty_s:
            return False
        return self.transport.size().total == 0

    def _parsed(self, leased: Leased) -> Job | None:
        """The task of a message; one that is no task is set aside."""
        if leased.unreadable:
            self._set_aside(leased, leased.unreadable)
            return None
        try:
            plan, run, task = parse_message(leased.text, self.root, self.read_roots)
        except (*TROUBLE, *UNREADABLE) as error:
            if not is_poison(error):
                raise TransientError(f"a message cannot be read now: {plain(error)}") from error
            self._set_aside(leased, plain(error))
            return None
        return Job(plan, Ledger(run), task.key, leased)

    def _set_aside(self, leased: Leased, reason: str) -> None:
        log.warning("message set aside", reason=reason)
        self.transport.set_aside(leased, reason)
        self.served.set_aside += 1

    def _handle(self, job: Job) -> None:
        """Skip, drop, postpone or execute."""
        if job.ledger.exists(job.key):
            self._skip(job)
        elif job.ledger.given_up(job.key):
            log.warning("task is quarantined; its message is dropped", key=job.key)
            self._drop(job, job.leased.handle)
            self.served.quarantined += 1
        elif (live_s := job.ledger.live_for_s(job.key)) > 0:
            self.transport.renew(job.leased.handle, min(live_s, self.lease_s))
            self.served.skipped += 1
        else:
            self._execute(job)

    def _skip(self, job: Job) -> None:
        """Of a task that is done: feed what nobody has fed, once."""
        if not job.ledger.is_fed(job.key):
            enqueue_after(job.plan, job.ledger, self.queues, job.key)
            job.ledger.end(job.key, "duplicate", "fed")
        self.transport.ack(job.leased.handle)
        self.served.skipped += 1

    def _drop(self, job: Job, handle: str) -> None:
        """Of a task that is given up: keep its chain of starting tasks going, then acknowledge."""
        enqueue_behind(job.plan, job.ledger, self.queues, job.key)
        self.transport.ack(handle)

    def _execute(self, job: Job) -> None:
        attempt = job.ledger.begin(job.key, self.lease_s, f"queue@{platform.node()}")
        heartbeat = Heartbeat(self.transport, job.ledger, job.key, attempt, job.leased.handle, self.lease_s)
        try:
            with contextlib.suppress(BrokenPipeError):  # a child that died just now: its outcome says so
                self.child.submit(job.key, attempt, job.leased.text)
            outcome = self._awaited(heartbeat)
            if outcome is None:
                self._hand_back(job, heartbeat)
            elif outcome.receipt is not None:
                self._finished(job, heartbeat, outcome.receipt)
            elif outcome.transient and job.ledger.handed_back(job.key) < HAND_BACKS_ALLOWED:
                self._postpone(job, heartbeat, outcome)
            else:
                self._failed(job, heartbeat, outcome)
        except TROUBLE:
            with contextlib.suppress(*TROUBLE):  # the attempt is not to blame for what storage does
                job.ledger.end(job.key, attempt, "handback")
            raise

    def _awaited(self, heartbeat: Heartbeat) -> Outcome | None:
        """The outcome of the child; None if a stop was asked for before it had a receipt."""
        end_s = time.monotonic() + self.task_limit_s
        while True:
            self.stop.wait(self.child.waitables, min(heartbeat.wait_s, end_s - time.monotonic()))
            outcome = self.child.poll()
            if self.stop.requested and (outcome is None or outcome.receipt is None):
                return None
            if outcome is not None:
                return outcome
            if time.monotonic() > end_s:
                return self._too_long(heartbeat)
            heartbeat.beat()

    def _too_long(self, heartbeat: Heartbeat) -> Outcome:
        """End a child that hangs; that counts."""
        self.child.restart()
        limit = f"task {heartbeat.key} took longer than --task-limit-s {self.task_limit_s:g}; raise it, or see why"
        return Outcome(heartbeat.key, heartbeat.attempt, None, "TookTooLong", limit)

    def _hand_back(self, job: Job, heartbeat: Heartbeat) -> None:
        """End the child, then the attempt, then show the message to others."""
        self.child.close()
        job.ledger.end(job.key, heartbeat.attempt, "handback")
        self.transport.hand_back(heartbeat.handle)
        self.served.handed_back += 1

    def _postpone(self, job: Job, heartbeat: Heartbeat, outcome: Outcome) -> NoReturn:
        """Of a task that storage kept from working: show it again, later each time; the trouble is the worker's."""
        self._show_later(heartbeat, job.ledger.handed_back(job.key))
        self.served.handed_back += 1
        raise TransientError(f"task {job.key}: {outcome.exception}")

    def _failed(self, job: Job, heartbeat: Heartbeat, outcome: Outcome) -> None:
        log.warning("task failed", key=job.key, error=outcome.error, message=outcome.message, trace=outcome.trace)
        job.ledger.failed(job.key, outcome.exception)
        job.ledger.end(job.key, heartbeat.attempt, "error")
        self.served.failed += 1
        if job.ledger.quarantined(job.key):
            self._drop(job, heartbeat.handle)
            self.served.given_up += 1
        else:
            self._show_later(heartbeat, max(0, job.ledger.counted(job.key) - 1))

    def _show_later(self, heartbeat: Heartbeat, times: int) -> None:
        """Hide a message for a while, four times longer for each time before, a lease at most."""
        again_s = self.lease_s if times > 20 else min(RETRY_S * 4**times, self.lease_s)
        self.transport.renew(heartbeat.handle, again_s)

    def _finished(self, job: Job, heartbeat: Heartbeat, receipt: dict[str, Any]) -> None:
        """Receipt, then what it made possible, then the end of the attempt, then the acknowledgement."""
        end = "fed"
        try:
            job.ledger.finish(job.key, receipt)
        except NotDeterministicError as error:
            log.error("not deterministic", key=job.key, error=str(error))
            end = "error"
        enqueue_after(job.plan, job.ledger, self.queues, job.key)
        job.ledger.end(job.key, heartbeat.attempt, end)
        self.transport.ack(heartbeat.handle)
        log.info("task done", key=job.key, seconds=receipt.get("run", {}).get("seconds", {}).get("total"))
        self.served.done += end == "fed"
        self.served.failed += end == "error"
