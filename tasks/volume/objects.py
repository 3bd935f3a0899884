"""Small objects under one root: atomic put, conditional create, checked get; file://, s3:// and gs://.

On file:// an object is written beside its place, fsynced and renamed (created: hard-linked, which fails if the name
exists), so a reader never sees a part of one. S3 and GS puts are atomic as they are; `create` uses their conditional
put. Keys are confined to the root.
"""

from __future__ import annotations

import errno
import itertools
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from emseg.tasks.volume.compression import SUFFIX, compressed, decompressed
from emseg.tasks.volume.errors import CorruptChunkError, LayerError, LimitError, TransientError
from emseg.tasks.volume.limits import SMALL_OBJECT_BYTES, stored_bytes
from emseg.tasks.volume.stored import Stored, sha256
from emseg.tasks.volume.url import canonical_url, local_path, require_key

__all__ = ["Backend", "FileBackend", "Objects", "Stored", "sha256"]
FORBIDDEN = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT),
    *(errno.EEXIST, errno.ENOTDIR, errno.ENAMETOOLONG),  # a file where a folder should be, a name that no disk takes
    *(errno.EISDIR, errno.ELOOP, errno.EINVAL),
)


class Backend(Protocol):
    """What a place to keep objects must do."""

    def get(self, key: str, limit_bytes: int | None = None) -> Stored | None:
        """Stored bytes and content encoding, None if absent; LimitError above the limit."""

    def put(self, key: str, stored: Stored) -> None:
        """Write atomically, replacing what was there."""

    def create(self, key: str, content: bytes) -> bool:
        """Write only if the key is free; say whether it was."""

    def exists(self, key: str) -> bool:
        """Whether the key holds an object."""

    def list(self, prefix: str) -> Iterator[str]:
        """Keys below a folder, sorted."""

    def delete(self, key: str) -> None:
        """Remove an object if it is there."""


class Objects:
    """Objects below one root URL."""

    def __init__(self, url: str) -> None:
        self.url = canonical_url(url)
        self.backend = _backend(self.url)

    def get_stored(self, key: str, budget_bytes: int | None = None) -> Stored | None:
        """Bytes as stored, None if absent; refused unread if they cannot hold at most `budget_bytes` of content."""
        limit = None if budget_bytes is None else stored_bytes(budget_bytes)
        return self.backend.get(require_key(key), limit)

    def get(self, key: str, budget_bytes: int = SMALL_OBJECT_BYTES) -> bytes | None:
        """Decompressed content, None if absent."""
        stored = self.get_stored(key, budget_bytes)
        return None if stored is None else decompressed(stored.content, stored.encoding, budget_bytes, self.where(key))

    def require(self, key: str, budget_bytes: int = SMALL_OBJECT_BYTES) -> bytes:
        """Decompressed content of an object that must be there."""
        content = self.get(key, budget_bytes)
        if content is None:
            raise CorruptChunkError(f"{self.where(key)} is missing: run the task that writes it again")
        return content

    def put(self, key: str, content: bytes, encoding: str = "", far: bool = False) -> str:
        """Write atomically, compressed as `compressed` says; digest of the stored bytes."""
        stored = Stored(compressed(content, encoding, far), encoding)
        self.backend.put(require_key(key), stored)
        return stored.digest

    def create(self, key: str, content: bytes) -> bool:
        """Write only if the key is free; say whether it was."""
        return self.backend.create(require_key(key), content)

    def exists(self, key: str) -> bool:
        """Whether the key holds an object."""
        return self.backend.exists(require_key(key))

    def list(self, prefix: str = "") -> Iterator[str]:
        """Keys below a folder, sorted; '' for all."""
        return self.backend.list(require_key(prefix) if prefix else "")

    def delete(self, key: str) -> None:
        """Remove an object if it is there."""
        self.backend.delete(require_key(key))

    def where(self, key: str) -> str:
        """Full name of an object, for messages."""
        return f"{self.url}/{key}"


def _backend(url: str) -> Backend:
    path = local_path(url)
    if path is not None:
        return FileBackend(path)
    from emseg.tasks.volume.cloud import cloud_backend

    return cloud_backend(url)


class FileBackend:
    """Objects as files; a compressed one carries its suffix, as cloud-files writes and reads them."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def get(self, key: str, limit_bytes: int | None = None) -> Stored | None:
        """Stored bytes and content encoding, None if absent; LimitError above the limit."""
        for encoding, suffix in SUFFIX.items():
            try:
                return Stored(_read(self.root / (key + suffix), limit_bytes), encoding)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                continue
            except OSError as error:
                raise _refused(error, self.root / key, "read") from error
        return None

    def put(self, key: str, stored: Stored) -> None:
        """Write atomically: temporary file, fsync, rename, fsync of the folder; other compressions of it go."""
        self._write(key + SUFFIX[stored.encoding], stored.content, replace=True)

    def create(self, key: str, content: bytes) -> bool:
        """Write only if the name is free: temporary file, fsync, link(2)."""
        return not self.exists(key) and self._write(key, content, replace=False)

    def exists(self, key: str) -> bool:
        """Whether the key holds an object."""
        return any(os.path.isfile(self.root / (key + suffix)) for suffix in ("", *SUFFIX.values()))

    def list(self, prefix: str) -> Iterator[str]:
        """Keys below a folder, sorted; temporary files are left out."""
        base = self.root / prefix if prefix else self.root
        for folder, folders, files in os.walk(base, onerror=_unless_absent):
            folders[:] = sorted(f for f in folders if not f.startswith("."))
            relative = Path(folder).relative_to(self.root)
            for name in sorted(files):
                if not name.startswith("."):
                    yield str(relative / _bare(name)) if str(relative) != "." else _bare(name)

    def delete(self, key: str) -> None:
        """Remove an object if it is there."""
        for suffix in SUFFIX.values():
            try:
                (self.root / (key + suffix)).unlink(missing_ok=True)
            except NotADirectoryError:
                continue
            except OSError as error:
                raise _refused(error, self.root / key, "removed") from error

    def _drop_others(self, name: str) -> None:
        """Remove the same key under another suffix, which `get` might find first."""
        bare = _bare(name)
        for suffix in SUFFIX.values():
            if bare + suffix != name:
                (self.root / (bare + suffix)).unlink(missing_ok=True)

    def _write(self, name: str, content: bytes, *, replace: bool) -> bool:
        target = self.root / name
        temporary = target.parent / f".{target.name}.{uuid.uuid4().hex}"
        try:
            _make_folder(target.parent)
            try:
                _write_synced(temporary, content)
                temporary.rename(target) if replace else os.link(temporary, target)
            except FileExistsError:
                return False
            finally:
                temporary.unlink(missing_ok=True)
            if replace:
                self._drop_others(name)
            _sync_folder(target.parent)
        except OSError as error:
            if not passes(error):
                raise LayerError(
                    f"{target}: cannot be written ({error.strerror}); choose a place you may write"
                ) from None
            raise TransientError(f"{target}: cannot be written ({error.strerror}); free space and go on") from error
        return True


def _read(path: Path, limit_bytes: int | None) -> bytes:
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if limit_bytes is not None and size > limit_bytes:
            raise LimitError(f"{path}: is stored in {size} bytes, more than the {limit_bytes} allowed; mend the object")
        return file.read()


def _make_folder(path: Path) -> None:
    """Make a folder that outlives a power cut: each new one is fsynced into its parent."""
    new = list(itertools.takewhile(lambda p: not p.exists(), (path, *path.parents)))
    path.mkdir(parents=True, exist_ok=True)
    for folder in reversed(new):
        _sync_folder(folder.parent)


def passes(error: OSError) -> bool:
    """Whether a file system's error may pass by itself: a full disk, a stale mount, a time-out, too many files."""
    if isinstance(error, (ConnectionError, TimeoutError)):
        return True
    return error.errno is not None and error.errno not in FORBIDDEN


def _refused(error: OSError, path: Path, verb: str) -> TransientError | LayerError:
    if passes(error):
        return TransientError(f"{path}: cannot be {verb} ({error.strerror}); go on when the disk is well")
    return LayerError(f"{path}: cannot be {verb} ({error.strerror}); mend rights or name")


def _unless_absent(error: OSError) -> None:
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        raise _refused(error, Path(error.filename), "listed") from error


def _write_synced(path: Path, content: bytes) -> None:
    with open(path, "xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _bare(name: str) -> str:
    for suffix in SUFFIX.values():
        if suffix and name.endswith(suffix):
            return name.removesuffix(suffix)
    return name
