"""`@kernel`: numba's njit without the interpreter lock, cached on disk under a digest of all kernels.

Numba renews a cached function when its own file changes, but not when a function that it calls from another file
does: after an upgrade old machine code would run on. So the cache lies in a folder named after everything that kernels
are made of, and a change anywhere starts a new one.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from numba import config, njit

HERE = Path(__file__).parent
CONSTANTS = HERE.parent / "volume" / "codes.py"  # kernels freeze its numbers in


def sources() -> list[Path]:
    """Files that hold kernels, and the constants that they take from elsewhere."""
    return [p for p in sorted(HERE.glob("*.py")) if b"@kernel" in p.read_bytes()] + [CONSTANTS]


def _home() -> Path:
    """Folder of this version's cache: numba's own setting, beside the code, the user's, or a temporary one."""
    digest = hashlib.sha256()
    for path in sources():
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    user = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    places = [config.CACHE_DIR] if config.CACHE_DIR else [str(HERE / "__pycache__"), os.path.join(user, "emseg")]
    places.append(os.path.join(tempfile.gettempdir(), f"emseg-{os.getuid()}"))
    return _first_writable(Path(place) / f"kernels-{digest.hexdigest()[:16]}" for place in places)


def _first_writable(places: Iterable[Path]) -> Path:
    """The first folder that can be made and belongs to this user; numba would fall back to one without a digest."""
    for place in places:
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(place, os.W_OK):
            return place
    return Path(tempfile.mkdtemp(prefix="emseg-kernels-"))


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
