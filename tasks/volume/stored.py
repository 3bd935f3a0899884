"""One object as it is stored: its bytes, their digest and how they are compressed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


def sha256(content: bytes) -> str:
    """Hex digest of stored bytes."""
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class Stored:
    """One object as it is stored."""

    content: bytes
    encoding: str

    @property
    def digest(self) -> str:
        """sha256 of the stored bytes."""
        return sha256(self.content)
