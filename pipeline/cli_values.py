"""Values that stand as text on the command line: numbers, boxes, ids."""

from __future__ import annotations

from typing import Any

from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import ConfigError

MAX_IDS = 1 << 64


def numbers(text: str, what: str, kind: type[int] | type[float] = int) -> tuple[Any, Any, Any]:
    """Three numbers of "x,y,z".

    Raises:
        ConfigError: not three numbers.
    """
    try:
        x, y, z = (kind(part) for part in text.split(","))
    except ValueError:
        example = "10,10,10" if kind is float else "64,64,64"
        raise ConfigError(f"{what} {text!r}: give three numbers x,y,z such as {example}") from None
    return (x, y, z)


def number(text: str, what: str) -> float:
    """A number.

    Raises:
        ConfigError: something else.
    """
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"{what} {text!r}: give a number such as 0.5") from None


def box_of(text: str) -> BBox | None:
    """Box of "x,y,z:x,y,z", None of ''."""
    if not text:
        return None
    low, colon, high = text.partition(":")
    if not colon:
        raise ConfigError(f"--bbox {text!r}: write it as x,y,z:x,y,z, least corner, then one past the greatest")
    return BBox.of(numbers(low, "--bbox"), numbers(high, "--bbox"))


def ids_of(text: str) -> tuple[int, ...]:
    """Segment ids of "7,12", none of ''.

    Raises:
        ConfigError: not ids.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(p.isascii() and p.isdigit() and int(p) < MAX_IDS for p in parts):
        raise ConfigError(f"--segments {text!r}: give ids from 0 to {MAX_IDS - 1}, comma-separated, such as 7,12")
    return tuple(map(int, parts))
