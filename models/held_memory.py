"""Memory that is freed stays with the process for a while: fresh pages cost a network more than its arithmetic.

glibc gives each large block back to the system when it is freed, and the next window's tensors are new pages again,
which the kernel clears one by one. Other C libraries are left as they are.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # parameters of mallopt(3)
TRIM_DEFAULT, MMAP_DEFAULT = 128 << 10, 65536
NEVER = 2**31 - 1


@contextmanager
def held_memory() -> Iterator[None]:
    """Large blocks are reused inside, and given back at the end. It changes no result."""
    libc = ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
    if libc is None:
        yield
        return
    _set(libc, NEVER, 0)
    try:
        yield
    finally:
        _set(libc, TRIM_DEFAULT, MMAP_DEFAULT)
        libc.malloc_trim(0)


def _set(libc: ctypes.CDLL, trim: int, mmaps: int) -> None:
    libc.mallopt(TRIM_THRESHOLD, trim)
    libc.mallopt(MMAP_MAX, mmaps)
