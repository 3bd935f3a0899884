"""The local engine: child processes on this machine. One that dies is replaced and its task is tried again.

Tasks of class gpu go to children that have a GPU each, all others to children without one; a task whose children are
all busy waits here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from multiprocessing.connection import wait

from emseg.pipeline.child import Child, Outcome

GPU = "gpu"


class LocalEngine:
    """Runs tasks in child processes."""

    name = "local"

    def __init__(self, workers: int, gpus: Sequence[str] = ()) -> None:
        """Start `workers` children, and one more for each device (torch name) of `gpus`."""
        self.gpu_children = [Child(device) for device in gpus]
        self.children = [*self.gpu_children, *(Child() for _ in range(workers))]
        self.waiting: deque[tuple[str, str, str, str]] = deque()

    @property
    def free(self) -> int:
        """How many tasks it would take now."""
        return sum(c.idle for c in self.children) - len(self.waiting)

    def submit(self, key: str, attempt: str, message: str, task_class: str) -> None:
        """Start a task on an idle child of its class, or let it wait for one."""
        child = next((c for c in self._children_of(task_class) if c.idle), None)
        if child is None:
            self.waiting.append((key, attempt, message, task_class))
        else:
            child.submit(key, attempt, message)

    def outcomes(self, timeout_s: float) -> list[Outcome]:
        """What ended since the last call; waits for at most `timeout_s`."""
        wait([w for c in self.children if not c.idle for w in c.waitables], timeout_s)
        found = [o for c in self.children if (o := c.poll()) is not None]
        for _ in range(len(self.waiting)):
            self.submit(*self.waiting.popleft())
        return found

    def close(self) -> None:
        """End all children."""
        for child in self.children:
            child.close()

    def _children_of(self, task_class: str) -> list[Child]:
        if not self.gpu_children:
            return self.children
        return self.gpu_children if task_class == GPU else self.children[len(self.gpu_children) :]
