"""The Dask engine: tasks on the workers of a scheduler, or of a cluster of processes on this machine.

Dask only carries messages out and receipts back, both small JSON texts. It never retries: a worker that dies, or a task
that fails, is an outcome, and the driver decides. A worker says when it begins a task, so that one which only waited
beside the task that died with its worker is handed back and not blamed. Give a scheduler of your own the setting
`distributed.scheduler.allowed-failures: 0`, else it runs a task whose worker died up to three times more before it says
so (harmless, but uncounted).
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable
from concurrent.futures import CancelledError
from queue import Empty, SimpleQueue
from typing import TypeVar

import dask
from distributed import Client, Future, KilledWorker, LocalCluster, get_worker

from emseg.pipeline.child import Outcome, failure
from emseg.pipeline.execute import run_message
from emseg.pipeline.output import note
from emseg.tasks.volume.errors import ConfigError, TransientError

WINDOW_PER_THREAD = 2  # one task runs, one waits beside it
COUNT_EVERY_S = 5.0  # workers come and go; asking costs a round trip
RESULT_S = 60.0  # for a receipt of some kilobytes to arrive
CONNECT_S = 20.0
LONELY_S = 30.0  # without a worker, before a person is told
ADDRESS = re.compile(r"(tcp|tls|ucx|ws|wss)://\S+:\d{1,5}")
NO_RETRY = {"distributed.scheduler.allowed-failures": 0}
Answer = TypeVar("Answer")


class DaskEngine:
    """Runs tasks on Dask workers."""

    name = "dask"

    def __init__(self, address: str | None = None, workers: int = 1, device: str = "cpu") -> None:
        """Connect to `address` (tcp://host:port), or start `workers` processes on this machine.

        Raises:
            ConfigError: that is no address. TransientError: no scheduler answers there.
        """
        if address is not None and not ADDRESS.fullmatch(address):
            raise ConfigError(f"Dask scheduler {address!r}: give its address as tcp://host:port")
        self.device = device
        self.cluster = None if address else _local_cluster(workers)
        self.address = str(self.cluster.scheduler_address if self.cluster else address)
        self.client = _connected(self.address)
        self.pending: dict[str, tuple[str, Future]] = {}
        self.ended: SimpleQueue[str] = SimpleQueue()
        self.begun: set[str] = set()
        self.topic = f"emseg-begun-{uuid.uuid4().hex}"
        self.client.subscribe_topic(self.topic, lambda event: self.begun.add(event[1]))
        self.threads, self.counted_s = 0, float("-inf")
        self.lonely_s: float | None = None
        self.warned = False

    @property
    def free(self) -> int:
        """How many tasks it would take now: the window is twice the workers' threads, and never nothing."""
        if time.monotonic() - self.counted_s > COUNT_EVERY_S:
            self.threads = sum(self._ask(self.client.nthreads).values())
            self.counted_s = time.monotonic()
            self._note_if_lonely()
        return max(1, WINDOW_PER_THREAD * self.threads) - len(self.pending)

    def submit(self, key: str, attempt: str, message: str, task_class: str) -> None:
        """Start a task; one of class gpu goes to a worker that has the resource GPU."""
        resources = {"GPU": 1} if task_class == "gpu" else None
        if resources and not self.warned:
            self._warn_without_gpu()
        future = self.client.submit(
            *(run_begun, message, attempt, self.device, self.topic),
            key=attempt,
            retries=0,
            pure=False,
            resources=resources,
        )
        self.pending[attempt] = (key, future)
        future.add_done_callback(lambda done: self.ended.put(done.key))

    def outcomes(self, timeout_s: float) -> list[Outcome]:
        """What ended since the last call; waits for at most `timeout_s`.

        Raises:
            TransientError: the scheduler is lost; receipts stay, so the run can be started again.
        """
        found = []
        try:
            found.append(self.ended.get(timeout=timeout_s))
            while True:
                found.append(self.ended.get_nowait())
        except Empty:
            pass
        if not found and self.client.status != "running":
            raise self._lost()
        return [self._outcome(attempt) for attempt in found]

    def close(self) -> None:
        """Take back what still waits, and let go of the workers."""
        if self.client.status == "running":
            self.client.cancel([future for _, future in self.pending.values()], force=True)
        self.client.close(timeout=CONNECT_S)
        if self.cluster is not None:
            self.cluster.close(timeout=CONNECT_S)

    def _outcome(self, attempt: str) -> Outcome:
        key, future = self.pending.pop(attempt)
        begun = attempt in self.begun
        self.begun.discard(attempt)
        if future.status != "error":
            return Outcome(key, attempt, json.loads(self._ask(lambda: future.result(timeout=RESULT_S))))
        error = self._ask(lambda: future.exception(timeout=RESULT_S))
        if isinstance(error, KilledWorker) and not begun:
            return failure(key, attempt, TransientError(f"its worker died before task {key} began"))
        return failure(key, attempt, error)

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        try:
            return question()
        except (OSError, CancelledError, TimeoutError) as error:
            raise self._lost() from error

    def _lost(self) -> TransientError:
        return TransientError(
            f"the Dask scheduler at {self.address} is lost; start it again, then run again: finished tasks are kept"
        )

    def _warn_without_gpu(self) -> None:
        workers = self._ask(self.client.scheduler_info)["workers"].values()
        if not any(w.get("resources", {}).get("GPU") for w in workers):
            note(f"no Dask worker at {self.address} offers a GPU: start workers with --resources GPU=1")
        self.warned = True

    def _note_if_lonely(self) -> None:
        """Tell a person, once, that there has been no worker for a while."""
        if self.threads:
            self.lonely_s = None
            return
        now_s = time.monotonic()
        self.lonely_s = now_s if self.lonely_s is None else self.lonely_s
        if now_s - self.lonely_s >= LONELY_S:
            note(f"no worker at {self.address} yet: start some with `dask worker {self.address}`; waiting")
            self.lonely_s = float("inf")  # told


def run_begun(message: str, attempt: str, device: str, topic: str) -> str:
    """What a worker calls: say that the task begins, then execute it."""
    worker = get_worker()
    worker.log_event(topic, attempt)
    if device == "cuda" and isinstance(worker.name, int):
        device = f"cuda:{worker.name}"  # of a cluster on this machine: worker i has GPU i
    return run_message(message, attempt, device)


def _local_cluster(workers: int) -> LocalCluster:
    with dask.config.set(NO_RETRY):
        return LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",  # its health page only, on a free port
            scheduler_kwargs={"dashboard": False},
            resources={"GPU": 1},
        )


def _connected(address: str) -> Client:
    try:
        return Client(address, timeout=CONNECT_S)
    except (OSError, ValueError, TimeoutError) as error:
        raise TransientError(
            f"no Dask scheduler answers at {address} ({error}); start one with `dask scheduler`"
        ) from error
