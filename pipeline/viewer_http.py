"""The answer to one request for a stored object: byte ranges, accepted encodings, what is sent. No web server here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from emseg.pipeline.viewer_store import OBJECT_BYTES, Store
from emseg.tasks.volume.compression import decompressed
from emseg.tasks.volume.objects import Stored

RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class RangeError(ValueError):
    """The range lies outside the object (HTTP 416)."""

    def __init__(self, header: str, size_bytes: int) -> None:
        super().__init__(f"range {header} of an object of {size_bytes} bytes")
        self.size_bytes = size_bytes


@dataclass(frozen=True)
class Reply:
    """Bytes to send, of an object of `size_bytes` in this encoding; `span` where only a range was asked for."""

    content: bytes
    size_bytes: int
    encoding: str = ""
    span: tuple[int, int] | None = None

    @property
    def length_bytes(self) -> int:
        """Length of the body that a GET would send."""
        return self.size_bytes if self.span is None else self.span[1] - self.span[0]


def get_reply(store: Store, key: str, headers: Mapping[str, str]) -> Reply | None:
    """The answer to a GET with these request headers, None if there is no such object.

    Raises:
        ConfigError: the key leaves the layer.
        RangeError: the range lies outside the object.
        LimitError: the object is too large to be sent whole.
    """
    if "Range" in headers:
        return _ranged(store, key, headers["Range"])
    stored = store.read(key)
    if stored is None:
        return None
    if stored.encoding and accepts(stored.encoding, headers.get("Accept-Encoding")):
        return Reply(stored.content, len(stored.content), stored.encoding)
    content = _plain(stored, key)
    return Reply(content, len(content))


def head_reply(store: Store, key: str, headers: Mapping[str, str]) -> Reply | None:
    """The answer to a HEAD: as `get_reply`, without a body and, where the stored size tells the length, unread."""
    stat = store.stat(key)
    if stat is None:
        return None
    if not stat.encoding or accepts(stat.encoding, headers.get("Accept-Encoding")):
        return Reply(b"", stat.size_bytes, stat.encoding)
    stored = store.read(key)
    return None if stored is None else Reply(b"", len(_plain(stored, key)))


def parse_range(header: str, size_bytes: int) -> tuple[int, int] | None:
    """First byte and one past the last, None where the whole is to be sent.

    Forms: `a-b`, `a-`, `-n` (the last n). Several ranges and unreadable ones are ignored, as HTTP allows.

    Raises:
        RangeError: nothing of the range lies in the object.
    """
    match = RANGE.fullmatch(header.replace(" ", ""))
    if match is None or match.group(0) == "bytes=-":
        return None
    first, last = match.groups()
    if first and last and int(last) < int(first):
        return None
    start = int(first) if first else max(0, size_bytes - int(last))
    stop = min(int(last) + 1, size_bytes) if first and last else size_bytes
    if start >= stop:
        raise RangeError(header, size_bytes)
    return start, stop


def accepts(encoding: str, header: str | None) -> bool:
    """Whether an Accept-Encoding header allows a content encoding; `;q=0` forbids it, `*` stands for the unnamed."""
    weights: dict[str, float] = {}
    for item in (header or "").lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        weights[name] = _weight(parameters)
    return weights.get(encoding, weights.get("*", 0.0)) > 0


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0


def _ranged(store: Store, key: str, header: str) -> Reply | None:
    """A range of the decoded object: plain ones are cut in the store, compressed ones after decompression."""
    stat = store.stat(key)
    if stat is None:
        return None
    if stat.encoding:
        stored = store.read(key)
        whole = b"" if stored is None else _plain(stored, key)
        span = parse_range(header, len(whole))
        return Reply(whole[slice(*span)] if span else whole, len(whole), "", span)
    span = parse_range(header, stat.size_bytes)
    part = store.read(key, *span) if span else store.read(key)
    return None if part is None else Reply(part.content, stat.size_bytes, "", span)


def _plain(stored: Stored, key: str) -> bytes:
    return decompressed(stored.content, stored.encoding, OBJECT_BYTES, key)
