"""What a command says: one JSON object on standard output, or lines for people; logs on standard error."""

from __future__ import annotations

import json
import logging
import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

import structlog

LOG_LEVEL = "EMSEG_LOG_LEVEL"  # how children learn it
_kept: list[TextIO] = []  # the process's own standard output, once it is kept
_stops: list[str] = []  # what was said of a stop


def keep_stdout() -> None:
    """Keep standard output for `say`; what libraries and child processes print goes to standard error from now on."""
    if not _kept:
        _kept.append(os.fdopen(os.dup(1), "w"))
        os.dup2(2, 1)
        sys.stdout = sys.stderr


def log_to_stderr(level: int | None = None) -> None:
    """Log lines as JSON on standard error, from `level` on (default: the level of the process that started this)."""
    if level is None:
        level = int(os.environ.get(LOG_LEVEL, logging.ERROR))
    os.environ[LOG_LEVEL] = str(level)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def say(values: Mapping[str, Any], as_json: bool, *lines: str) -> None:
    """Write `values` as JSON, or the lines."""
    text = json.dumps(values, default=str) if as_json else "\n".join(lines)
    out = _kept[0] if _kept else sys.stdout
    out.write(text + "\n")
    out.flush()


def note(line: str) -> None:
    """A line for people, on standard error."""
    sys.stderr.write(f"emseg: {line}\n")
    sys.stderr.flush()


def note_stop(line: str) -> None:
    """Say, once in a process, that it was stopped by hand: whoever knows most says it first."""
    if not _stops:
        note(f"stopped{line}")
        _stops.append(line)


def same_command() -> str:
    """What a person typed, to be typed again."""
    return shlex.join(["emseg", *sys.argv[1:]])


@contextmanager
def told_when_stopped() -> Iterator[None]:
    """Pass Ctrl-C on, behind a line that says what is kept and which command goes on."""
    try:
        yield
    except KeyboardInterrupt:
        note_stop(f"; finished tasks are kept, and the same command goes on: {same_command()}")
        raise


def human_bytes(count: float) -> str:
    """Bytes in the largest unit that keeps a number above 1."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} PB"
