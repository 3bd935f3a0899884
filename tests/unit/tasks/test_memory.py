"""The peak of a task is its own, not that of what ran in the process before."""

from __future__ import annotations

import numpy as np
import pytest

from emseg.tasks.memory import CLEAR, peak_bytes, reset_peak

LARGE = 200 << 20


@pytest.mark.skipif(not CLEAR.exists(), reason="this kernel cannot set the mark back")
def test_a_peak_is_forgotten_once_set_back() -> None:
    """An array that is gone counts until the mark is set back; one that comes later counts again."""
    reset_peak()
    before = peak_bytes()
    np.ones(LARGE, np.uint8)
    assert peak_bytes() > before + LARGE * 0.9
    reset_peak()
    assert peak_bytes() < before + LARGE * 0.5
    np.ones(LARGE, np.uint8)
    assert peak_bytes() > before + LARGE * 0.9


def test_without_the_kernel_s_mark_the_life_of_the_process_counts(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """Where there is no such file the figure is the greatest size ever, and nothing fails."""
    monkeypatch.setattr("emseg.tasks.memory.CLEAR", tmp_path / "absent" / "x")
    monkeypatch.setattr("emseg.tasks.memory.STATUS", tmp_path / "absent")
    reset_peak()
    assert peak_bytes() > 10 << 20
