"""Grey levels that a run normalises with: read, checked against the sections that its network will read."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emseg.pipeline.config import Normalise
from emseg.tasks.base import canonical_json
from emseg.tasks.volume.errors import ConfigError

NAMED = 3  # sections that a refusal names


def levels_content(normalise: Normalise, sections: range) -> bytes:
    """The object that a run keeps of its levels: their kind and the file's content.

    Args:
        sections: z of all sections that any task will read.

    Raises:
        ConfigError: the file cannot be read, or lacks what this kind needs.
    """
    name = f"normalise.levels {normalise.levels!r}"
    try:
        raw = json.loads(Path(str(normalise.levels)).read_text())
        content = canonical_json({"kind": normalise.kind, "levels": raw})
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{name}: cannot be read ({error}); run `emseg stats`") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{name}: holds no levels; run `emseg stats`")
    if normalise.kind == "global":
        _require_global(raw, name)
    else:
        _require_sections(raw, sections, name)
    return content


def _require_global(raw: Mapping[str, Any], name: str) -> None:
    low: Any = raw.get("low")
    high: Any = raw.get("high")
    if not (_is_level(low) and _is_level(high) and low < high):
        raise ConfigError(f"{name}: low {low!r} and high {high!r} must be numbers, low below high; run `emseg stats`")


def _require_sections(raw: Mapping[str, Any], sections: range, name: str) -> None:
    table = raw.get("sections")
    if not isinstance(table, dict):
        raise ConfigError(f"{name}: has no sections; run `emseg stats`")
    lacking = [z for z in sections if str(z) not in table]
    if lacking:
        more = ", …" if len(lacking) > NAMED else ""
        raise ConfigError(
            f"{name}: lacks sections z = {', '.join(map(str, lacking[:NAMED]))}{more}; run `emseg stats` over the "
            "whole source at this mip"
        )
    bad = next((z for z in sections if not _is_pair(table[str(z)])), None)
    if bad is not None:
        raise ConfigError(
            f"{name}: section z = {bad} has {table[str(bad)]!r}; it must be [low, high, …], low at most high"
        )


def _is_pair(levels: Any) -> bool:
    """Whether levels are low <= high; they are equal where a section is blank."""
    if not isinstance(levels, Sequence) or isinstance(levels, str) or len(levels) < 2:
        return False
    return _is_level(levels[0]) and _is_level(levels[1]) and bool(levels[0] <= levels[1])


def _is_level(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
