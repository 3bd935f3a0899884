"""What a command says: one JSON object on standard output, or lines for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any


def say(values: Mapping[str, Any], as_json: bool, *lines: str) -> None:
    """Write `values` as JSON, or the lines."""
    text = json.dumps(values, default=str) if as_json else "\n".join(lines)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def note(line: str) -> None:
    """A line for people, on standard error."""
    sys.stderr.write(f"emseg: {line}\n")
    sys.stderr.flush()


def human_bytes(count: float) -> str:
    """Bytes in the largest unit that keeps a number above 1."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} PB"
