"""Objects under SIGKILL and on a full disk: whole, or not there."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from emseg.tasks.volume.objects import Objects

pytestmark = pytest.mark.fault

TRIALS, KEYS = 24, 4
WRITER = """
import itertools, sys
from emseg.tasks.volume.objects import Objects
objects = Objects(sys.argv[1])
print("ready", flush=True)
for n in itertools.count():
    content = bytes([n % 251]) * (1 << 20)
    objects.put(f"put/{n % 4}", content, sys.argv[2])
    objects.create(f"create/{n}", content)
"""
FILLER = """
import resource, sys
from emseg.tasks.volume.errors import TransientError
from emseg.tasks.volume.objects import Objects
limit = int(sys.argv[2])
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    Objects(sys.argv[1]).put("a", bytes(1 << 20))
except TransientError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def started(script: str, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", script, *args], stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(TRIALS))
def test_a_killed_writer_leaves_no_torn_object(tmp_path, seed):
    """After SIGKILL at a seeded moment, every object under a final name is one that some put wrote whole."""
    rng = random.Random(seed)
    encoding = rng.choice(["", "gzip", "zstd"])
    writer = started(WRITER, str(tmp_path), encoding)
    assert writer.stdout.readline() == "ready\n"
    time.sleep(rng.uniform(0.005, 0.15))
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    objects = Objects(str(tmp_path))
    for key in objects.list():
        content = objects.get(key)
        assert len(content) == 1 << 20, key
        assert content == content[:1] * len(content), key


@pytest.mark.parametrize("seed", range(8))
def test_a_full_disk_is_temporary_and_harmless(tmp_path, seed):
    """A put cut off at a seeded byte ends with exit code 75, leaves the old object whole and no part of the new one."""
    old = b"old" * 1000
    Objects(str(tmp_path)).put("a", old)
    limit = random.Random(seed).randrange(1 << 20)
    filler = started(FILLER, str(tmp_path), str(limit))
    said = filler.stdout.read()
    assert filler.wait() == 75
    assert "cannot be written" in said
    assert os.listdir(tmp_path) == ["a"]
    assert Path(tmp_path / "a").read_bytes() == old


def test_space_returned_completes_the_put(tmp_path):
    """The same put that a full disk refused succeeds once there is room."""
    filler = started(FILLER, str(tmp_path), "1000")
    assert filler.wait() == 75
    filler = started(FILLER, str(tmp_path), str(2 << 20))
    assert filler.wait() == 0
    assert hashlib.sha256((tmp_path / "a").read_bytes()).digest() == hashlib.sha256(bytes(1 << 20)).digest()
