"""The local engine: N child processes on this machine. One that dies is replaced and its task is tried again."""

from __future__ import annotations

from multiprocessing.connection import wait

from emseg.pipeline.child import Child, Outcome


class LocalEngine:
    """Runs tasks in child processes."""

    name = "local"

    def __init__(self, workers: int, device: str = "cpu") -> None:
        self.children = [Child(device) for _ in range(workers)]

    @property
    def free(self) -> int:
        """How many tasks it would take now."""
        return sum(c.idle for c in self.children)

    def submit(self, key: str, attempt: str, message: str, task_class: str) -> None:
        """Start a task on an idle child."""
        next(c for c in self.children if c.idle).submit(key, attempt, message)

    def outcomes(self, timeout_s: float) -> list[Outcome]:
        """What ended since the last call; waits for at most `timeout_s`."""
        wait([w for c in self.children if not c.idle for w in c.waitables], timeout_s)
        return [o for c in self.children if (o := c.poll()) is not None]

    def close(self) -> None:
        """End all children."""
        for child in self.children:
            child.close()
