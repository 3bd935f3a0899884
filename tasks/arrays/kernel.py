"""`@kernel`: numba's njit without the interpreter lock, cached on disk under a digest of all kernels.

Numba renews a cached function when its own file changes, but not when a function that it calls from another file
does: after an upgrade old machine code would run on. So the cache lies in a folder named after everything that kernels
are made of, and a change anywhere starts a new one.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import config, njit

HERE = Path(__file__).parent
CONSTANTS = HERE.parent / "volume" / "codes.py"  # kernels freeze its numbers in


def sources() -> list[Path]:
    """Files that hold kernels, and the constants that they take from elsewhere."""
    return [p for p in sorted(HERE.glob("*.py")) if b"@kernel" in p.read_bytes()] + [CONSTANTS]


def _home() -> Path:
    """Folder of this version's cache: beside the code if it may be written, else the user's."""
    digest = hashlib.sha256()
    for path in sources():
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    base = HERE / "__pycache__" if os.access(HERE, os.W_OK) else Path.home() / ".cache" / "emseg"
    return Path(config.CACHE_DIR or base) / f"kernels-{digest.hexdigest()[:16]}"


HOME = _home()


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function of numbers and arrays at its first call, or take it from the cache."""
    compiled, elsewhere = njit(nogil=True)(function), config.CACHE_DIR
    config.CACHE_DIR = str(HOME)
    try:
        compiled.enable_caching()
    finally:
        config.CACHE_DIR = elsewhere
    return compiled
