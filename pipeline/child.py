"""A child process that executes tasks, one at a time, so that a parent can keep leases, see it die and replace it."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any

from emseg.pipeline.queue_trouble import is_transient
from emseg.tasks.volume.errors import EmsegError

EXIT_GRACE_S = 2.0  # for a child to close its files before it is killed


@contextlib.contextmanager
def _deaf_child() -> Iterator[None]:
    """A child begun in here never hears Ctrl-C, not even before its first line; ours is heard once this ends."""
    resource_tracker.ensure_running()  # begun later, it would lift the mask
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@dataclass(frozen=True)
class Outcome:
    """How an execution ended: a receipt, or an error."""

    key: str
    attempt: str
    receipt: dict[str, Any] | None = None
    error: str = ""
    message: str = ""
    permanent: bool = False
    trace: str = ""
    transient: bool = False  # storage or network is to blame: the attempt does not count

    @property
    def exception(self) -> EmsegError:
        """The error as an exception of the parent."""
        error = EmsegError(f"{self.error}: {self.message}" if self.error else self.message)
        error.permanent = self.permanent
        return error


def failure(key: str, attempt: str, error: BaseException) -> Outcome:
    """Outcome of an exception."""
    permanent = isinstance(error, EmsegError) and error.permanent
    trace = "".join(traceback.format_exception(error))
    return Outcome(key, attempt, None, type(error).__name__, str(error), permanent, trace, is_transient(error))


class Child:
    """One child process and what it is doing."""

    def __init__(self, device: str = "cpu", root: str | None = None, read_roots: tuple[str, ...] = ()) -> None:
        self.device, self.root, self.read_roots = device, root, read_roots
        self.key = self.attempt = ""
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(
            target=serve, args=(theirs, self.device, self.root, self.read_roots), daemon=True
        )
        with _deaf_child():
            self.process.start()
        theirs.close()

    @property
    def idle(self) -> bool:
        """Whether it has nothing to do."""
        return not self.key

    @property
    def waitables(self) -> list[Any]:
        """What becomes ready when it has answered or died."""
        return [self.pipe, self.process.sentinel]

    def submit(self, key: str, attempt: str, message: str) -> None:
        """Hand over a task; a child that died idle is replaced first."""
        if not self.process.is_alive():
            self.restart()
        self.key, self.attempt = key, attempt
        with contextlib.suppress(BrokenPipeError):  # a child that died just now: `poll` says so
            self.pipe.send_bytes(json.dumps([message, attempt]).encode())

    def poll(self) -> Outcome | None:
        """The outcome if there is one; a child that died is replaced, and its death is an outcome."""
        if self.idle:
            return None
        key, attempt = self.key, self.attempt
        try:
            if self.pipe.poll():
                answer = json.loads(self.pipe.recv_bytes())
                self.key = ""
                return Outcome(key, attempt, **answer)
        except (EOFError, OSError):
            self.process.join(EXIT_GRACE_S)
        if self.process.is_alive():
            return None
        code = self.process.exitcode
        self.restart()
        return Outcome(key, attempt, None, "WorkerDied", f"the process that ran task {key} ended with code {code}")

    def restart(self) -> None:
        """Kill and start anew."""
        self.close()
        self.key = ""
        self._start()

    def close(self) -> None:
        """End the process now."""
        self.pipe.close()
        self.process.terminate()
        self.process.join(EXIT_GRACE_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def serve(pipe: Connection, device: str, root: str | None, read_roots: tuple[str, ...] = ()) -> None:
    """Loop of the child: execute messages until the parent goes away."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from emseg.pipeline.execute import run_message
    from emseg.pipeline.output import log_to_stderr

    log_to_stderr()
    while True:
        try:
            message, attempt = json.loads(pipe.recv_bytes())
        except EOFError:
            return
        try:
            receipt = run_message(message, attempt, device, root, read_roots)
            answer: dict[str, Any] = {"receipt": json.loads(receipt)}
        except Exception as error:  # noqa: BLE001  the worker's outermost loop: report whatever it was
            outcome = vars(failure("", "", error))
            answer = {k: v for k, v in outcome.items() if k not in ("key", "attempt")}
        pipe.send_bytes(json.dumps(answer).encode())
