"""What a queue hands out: a leased message, and how many there are."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Leased:
    """A message that is ours for a while; the handle is the transport's. `unreadable` says why it is no message."""

    text: str
    handle: str
    unreadable: str = ""


@dataclass(frozen=True)
class Size:
    """About how many messages wait, and how many are leased or postponed."""

    waiting: int
    leased: int

    @property
    def total(self) -> int:
        """All messages that are not yet acknowledged."""
        return self.waiting + self.leased
