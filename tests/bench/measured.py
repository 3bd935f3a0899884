"""One measurement a process: seconds of each repeat, and peak memory above what importing and compiling left."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

DATA = Path(os.environ.get("EMSEG_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))


def status_bytes(field: str) -> int:
    """VmRSS or VmHWM of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def measure(load: Callable[[], Any], work: Callable[[Any], Any], repeats: int) -> dict[str, Any]:
    """Load, then work a number of times: median seconds, peak bytes above now (inputs included), last result.

    Call it when everything is imported and compiled; the first repeat is a trial that does not count.
    """
    before = status_bytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again
    inputs = load()
    seconds, result = [], None
    for repeat in range(repeats + 1):
        result = None
        start = time.perf_counter()
        result = work(inputs)
        if repeat:
            seconds.append(time.perf_counter() - start)
    return {"seconds": median(seconds), "bytes": status_bytes("VmHWM") - before, "result": result}


def in_process(script: str, name: str, *arguments: str) -> dict[str, Any]:
    """What `script NAME ARGUMENTS` prints as its last line, run alone on one core."""
    environ = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, script, name, *arguments], env=environ, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """waterz writes to file descriptor 1 from C++."""
    sys.stdout.flush()
    kept = os.dup(1)
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)
        try:
            yield
        finally:
            os.dup2(kept, 1)
            os.close(kept)
