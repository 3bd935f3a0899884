"""What the viewer reads from: objects below one root as they are stored, whole or in part; file://, s3:// and gs://.

Unlike `Objects`, a store gives ranges (shards are read in pieces), takes the names that other writers use (mesh
manifests have colons) and follows links only as long as they stay below the root.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cloudfiles import CloudFiles

from emseg.tasks.volume.errors import ConfigError, LayerError
from emseg.tasks.volume.limits import require_bytes
from emseg.tasks.volume.objects import Stored
from emseg.tasks.volume.url import canonical_url, local_path

ENCODINGS = {"": "", ".gz": "gzip", ".br": "br", ".zstd": "zstd", ".zst": "zstd"}
OBJECT_BYTES = 1 << 30  # largest object read whole; larger ones (shards) are read in ranges
SERVED_KEY = re.compile(r"[\w.+=,@:\-]+(/[\w.+=,@:\-]+)*")


@dataclass(frozen=True)
class Stat:
    """Size and content encoding of an object as it is stored."""

    size_bytes: int
    encoding: str


class Store(Protocol):
    """Objects below one root."""

    def stat(self, key: str) -> Stat | None:
        """Size and encoding, None if absent."""

    def read(self, key: str, start: int = 0, stop: int | None = None) -> Stored | None:
        """Stored bytes [start, stop), None if absent."""


def open_store(url: str) -> Store:
    """Store of a file://, s3:// or gs:// root."""
    path = local_path(canonical_url(url))
    return CloudStore(canonical_url(url)) if path is None else FileStore(path)


def require_served_key(key: str) -> str:
    """Refuse a key that could leave its root, or that names a hidden file.

    Raises:
        ConfigError: the key is not a plain relative name.
    """
    if not SERVED_KEY.fullmatch(key) or any(part.startswith(".") for part in key.split("/")):
        raise ConfigError(f"key {key!r} is not served: use relative names without '..' and hidden parts")
    return key


class FileStore:
    """Objects as files; a compressed one carries a suffix that its key lacks."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def stat(self, key: str) -> Stat | None:
        """Size and encoding, None if absent."""
        found = self._find(key)
        return None if found is None else Stat(found[0].stat().st_size, found[1])

    def read(self, key: str, start: int = 0, stop: int | None = None) -> Stored | None:
        """Stored bytes [start, stop), None if absent."""
        found = self._find(key)
        if found is None:
            return None
        try:
            with open(found[0], "rb") as file:
                stop = os.fstat(file.fileno()).st_size if stop is None else stop
                require_bytes(f"object {key}", stop - start, OBJECT_BYTES)
                file.seek(start)
                return Stored(file.read(stop - start), found[1])
        except FileNotFoundError:
            return None

    def _find(self, key: str) -> tuple[Path, str] | None:
        name = str(self.root / require_served_key(key))
        for suffix, encoding in ENCODINGS.items():
            if os.path.isfile(name + suffix):
                return self._confined(Path(name + suffix)), encoding
        return None

    def _confined(self, path: Path) -> Path:
        real = path.resolve()
        if not real.is_relative_to(self.root):
            raise ConfigError(f"{path.name!r} links to a place outside its layer; it is not served")
        return real


class CloudStore:
    """Objects of a bucket, read through cloud-files."""

    def __init__(self, url: str) -> None:
        if "AWS_ACCESS_KEY_ID" in os.environ:
            os.environ.setdefault("AWS_SESSION_TOKEN", "")  # cloud-files 6.4.3 reads it unasked
        self.url = url
        self.files = CloudFiles(url, progress=False)

    def stat(self, key: str) -> Stat | None:
        """Size and encoding, None if absent."""
        if self.files.size(require_served_key(key)) is None:
            return None
        head = self.files.head(key)
        return Stat(int(head["Content-Length"]), head["Content-Encoding"] or "")

    def read(self, key: str, start: int = 0, stop: int | None = None) -> Stored | None:
        """Stored bytes [start, stop), None if absent."""
        require_served_key(key)
        whole = start == 0 and stop is None
        wanted = key if whole else {"path": key, "start": start, "end": stop}
        found = self.files.get([wanted], raw=True, raise_errors=False)[0]
        if found["error"] is not None:
            raise LayerError(f"{self.url}/{key}: {found['error']}")
        return None if found["content"] is None else Stored(found["content"], found["compress"] or "")
