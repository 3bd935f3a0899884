"""File queues: the folder and message format of task-queue's `fq://`, with one atomic rename behind every step.

The library writes a message in place (a scan can lease half of one), keeps a movement file that it truncates before it
holds its lock (an acknowledged message can stay), and retries a lost race for seconds. Here a message's name
`<visible at>--<id>.json` is its whole state: the one who renames it has it, and a name that is gone is a lease that
has lapsed. `ptq status`, `release` and `purge` work on the folder as before.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import random
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from taskqueue import TaskQueue
from taskqueue.file_queue_api import get_timestamp, idfn, set_timestamp

from emseg.pipeline.queue_envelope import MESSAGE_BYTES, pack, plain, unpack
from emseg.pipeline.queue_message import Leased, Size
from emseg.tasks.volume.errors import ConfigError, MessageError, TransientError
from emseg.tasks.volume.objects import passes

CANDIDATES = 250  # names looked at before one is drawn, so that workers seldom want the same


class FileTransport:
    """One folder of messages."""

    def __init__(self, path: str, clock: Callable[[], float] = time.time) -> None:
        try:
            api = TaskQueue(f"fq://{path}", progress=False).api
            self.queue, self.clock = Path(api.queue_path), clock
            self.staging, self.set_apart = Path(api.path, "staging"), Path(api.path, "dead")
            self.staging.mkdir(exist_ok=True)
            self.set_apart.mkdir(exist_ok=True)
        except OSError as error:
            what = f"queue fq://{path}: its folder cannot be made ({error.strerror})"
            if passes(error):
                raise TransientError(f"{what}; free space or mount it again") from error
            raise ConfigError(f"{what}; choose a folder that you may write to") from None

    def insert(self, messages: Iterable[str]) -> int:
        """Write each message beside the queue, sync it, rename it in."""
        count = 0
        for text in messages:
            ident = str(uuid.uuid4())
            try:
                _write_synced(self.staging / ident, pack(text, ident))
                os.rename(self.staging / ident, self.queue / f"0--{ident}.json")
            except OSError as error:
                raise TransientError(
                    f"{self.queue}: {count} messages written, then {error.strerror}; free space or mend rights"
                ) from error
            count += 1
        return count

    def lease(self, lease_s: float) -> Leased | None:
        """Rename a message that is visible."""
        for name in self._visible():
            leased = self._renamed(name, lease_s)
            if leased is None:
                continue
            try:
                return Leased(unpack(self._content(leased)), leased)
            except MessageError as error:
                return Leased("", leased, str(error))
            except FileNotFoundError:
                continue
        return None

    def renew(self, handle: str, lease_s: float) -> str | None:
        """Rename to a later time."""
        return self._renamed(handle, lease_s)

    def hand_back(self, handle: str) -> bool:
        """Rename to time 0."""
        return self._rename(handle, set_timestamp(handle, 0))

    def ack(self, handle: str) -> bool:
        """Remove the message if it still has the name that we gave it."""
        with _trouble(self.queue):
            try:
                os.remove(self.queue / handle)
            except FileNotFoundError:
                return False
        return True

    def set_aside(self, leased: Leased, reason: str) -> None:
        """Move the message into `dead`, beside a file with the reason."""
        ident = uuid.uuid4().hex
        note = {"name": ascii(leased.handle), "reason": reason, "at_s": self.clock()}
        with _trouble(self.set_apart):
            _write_synced(self.set_apart / f"{ident}.reason.json", json.dumps(note))
        self._rename(leased.handle, f"../dead/{ident}.message")

    def dead(self) -> int:
        """Number of messages set aside."""
        return sum(name.endswith(".message") for name in self._names(self.set_apart))

    def size(self) -> Size:
        """Count of the folder."""
        now_s = self.clock()
        later = [get_timestamp(name) > now_s for name in self._names(self.queue) if _is_message(name)]
        return Size(len(later) - sum(later), sum(later))

    def _names(self, folder: Path) -> Iterator[str]:
        with _trouble(folder), os.scandir(folder) as entries:
            for entry in entries:
                yield entry.name

    def _visible(self) -> Iterator[str]:
        """Names whose time has come, shuffled within each handful; stray names are set aside."""
        now_s, names = self.clock(), self._names(self.queue)
        while batch := list(itertools.islice(names, CANDIDATES)):
            random.shuffle(batch)
            for name in batch:
                if not _is_message(name):
                    self.set_aside(Leased("", name), "a file of the queue has no message's name; it is set aside")
                elif get_timestamp(name) <= now_s:
                    yield name

    def _renamed(self, name: str, lease_s: float) -> str | None:
        later = set_timestamp(name, math.ceil(self.clock() + lease_s))
        return later if self._rename(name, later) else None

    def _rename(self, name: str, new_name: str) -> bool:
        with _trouble(self.queue):
            try:
                os.rename(self.queue / name, self.queue / new_name)
            except FileNotFoundError:
                return False
        return True

    def _content(self, name: str) -> bytes:
        try:
            with open(self.queue / name, "rb") as file:
                return file.read(MESSAGE_BYTES + 1)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise MessageError(f"a queue message cannot be opened ({plain(error)}); it is set aside") from None


@contextlib.contextmanager
def _trouble(folder: Path) -> Iterator[None]:
    """What the file system refuses may pass: a full disk, a lost mount."""
    try:
        yield
    except OSError as error:
        raise TransientError(f"{folder}: {error.strerror}; free space, mend rights or mount it again") from error


def _is_message(name: str) -> bool:
    time_text, _, ident = name.partition("--")
    return time_text.isascii() and time_text.isdigit() and "--" not in ident and ident == idfn(name) + ".json"


def _write_synced(path: Path, text: str) -> None:
    with open(path, "x", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
