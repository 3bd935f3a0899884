"""Queues of task messages: task-queue's `fq://` folders and `sqs://` queues behind one face, one queue a task class.

A queue is only a hint: it may lose, tear, repeat and reorder. What is promised here is that `insert` says how many
messages are really there, that an unreadable one is set aside with a reason, and that no call waits for ever.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from emseg.pipeline.queue_message import Leased, Size
from emseg.tasks.volume.errors import ConfigError
from emseg.tasks.volume.url import redacted

TASK_CLASSES = ("cpu", "gpu", "big")


class Transport(Protocol):
    """What a queue must do. A handle may have lapsed: renew, hand_back and ack then say False and change nothing."""

    def insert(self, messages: Iterable[str]) -> int:
        """Put messages; how many are there for certain, else TransientError names the shortfall."""

    def lease(self, lease_s: float) -> Leased | None:
        """Take a message, None if none is visible; it may be an unreadable one."""

    def renew(self, handle: str, lease_s: float) -> str | None:
        """Keep a message (or keep it hidden) for so long from now; the new handle, None if the lease has lapsed."""

    def hand_back(self, handle: str) -> bool:
        """Show a message to others at once."""

    def ack(self, handle: str) -> bool:
        """Remove a message."""

    def set_aside(self, leased: Leased, reason: str) -> None:
        """Move a message out of the queue, with the reason."""

    def dead(self) -> int:
        """About how many messages were set aside."""

    def size(self) -> Size:
        """About how many messages there are."""


@dataclass
class Queues:
    """The queues of a run, one a task class, opened (and created) when first used: `fq://dir` or `sqs://name`."""

    url: str
    opened: dict[str, Transport] = field(default_factory=dict)

    def __post_init__(self) -> None:
        scheme, _, rest = self.url.partition("://")
        if scheme not in ("fq", "sqs") or not rest.strip("/"):
            raise ConfigError(f"queue {redacted(self.url)!r} is not allowed: give fq://FOLDER or sqs://NAME")

    def of(self, task_class: str) -> Transport:
        """The queue of a task class."""
        if task_class not in TASK_CLASSES:
            raise ConfigError(f"task class {task_class!r} is unknown: use one of {', '.join(TASK_CLASSES)}")
        if task_class not in self.opened:
            self.opened[task_class] = open_queue(self.url, task_class)
        return self.opened[task_class]

    def insert(self, messages: Iterable[tuple[str, str]]) -> int:
        """Put (task class, message) pairs into their queues; how many are there for certain."""
        by_class: dict[str, list[str]] = {}
        for task_class, text in messages:
            by_class.setdefault(task_class, []).append(text)
        return sum(self.of(task_class).insert(texts) for task_class, texts in by_class.items())


def open_queue(url: str, task_class: str = "cpu") -> Transport:
    """The transport of one queue: folder `<dir>/<class>` for fq://, queue `<name>-<class>` for sqs://."""
    scheme, _, rest = url.rstrip("/").partition("://")
    if scheme == "fq":
        from emseg.pipeline.queue_files import FileTransport

        return FileTransport(f"{rest}/{task_class}")
    from emseg.pipeline.queue_sqs import SqsTransport

    return SqsTransport(f"{rest}-{task_class}")
