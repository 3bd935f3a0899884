"""Workers of one machine whose supervisor is killed: none of them works on unseen."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from faults.queue_runs import SMALL, children_of, pyramid, wait_for

from emseg.pipeline.queue import Queues
from emseg.pipeline.queue_feed import enqueue_start

pytestmark = pytest.mark.fault
SUPERVISOR = """
import sys
from emseg.pipeline.queue_fleet import supervise
if __name__ == "__main__":
    supervise(["cpu", "cpu"], sys.argv[1], "cpu", idle_cap_s=600.0)
"""


def alive(pid: int) -> bool:
    """Whether a process runs and is no zombie."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def workers_of(pid: int) -> list[int]:
    """Worker processes of a supervisor (its other child is multiprocessing's resource tracker)."""
    return [c for c in children_of(pid) if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()]


def test_a_killed_supervisor_takes_its_workers_along(tmp_path: Path) -> None:
    """After SIGKILL of the supervisor both workers, idle for minutes, end by themselves, and so do their children."""
    plan, ledger = pyramid(f"file://{tmp_path}/run", box=SMALL)
    queues = Queues(f"fq://{tmp_path}/queue")
    enqueue_start(plan, ledger, queues, 2)
    script = tmp_path / "supervisor.py"
    script.write_text(SUPERVISOR)
    supervisor = subprocess.Popen([sys.executable, str(script), queues.url], stdout=subprocess.DEVNULL)
    family: list[int] = []
    try:
        wait_for(lambda: len(list(ledger.receipts())) == len(list(plan.keys())))
        wait_for(lambda: len(workers_of(supervisor.pid)) == 2)
        family = [p for w in workers_of(supervisor.pid) for p in (w, *children_of(w))]
        supervisor.kill()
        supervisor.wait()
        wait_for(lambda: not any(map(alive, family)))
    finally:
        for pid in filter(alive, family):
            os.kill(pid, signal.SIGKILL)
