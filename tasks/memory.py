"""Peak memory of one task: the kernel's high-water mark of this process, set back before the task starts."""

from __future__ import annotations

import resource
from pathlib import Path

RESET_PEAK = "5"  # what proc(5) calls: reset the peak resident set size
CLEAR, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def reset_peak() -> None:
    """Set the mark back to what is resident now; without effect where the kernel has no such thing."""
    try:
        CLEAR.write_text(RESET_PEAK)
    except OSError:
        return


def peak_bytes() -> int:
    """Greatest resident size since the mark was set back; of the process's whole life where it cannot be."""
    try:
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
