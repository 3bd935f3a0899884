"""How many workers a machine holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from emseg.pipeline import machine, runner
from emseg.pipeline.config import Engine
from emseg.tasks.volume.errors import ConfigError


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 8 cores and 16 GB."""
    for module in (machine, runner):
        monkeypatch.setattr(module, "cores", lambda: 8)
        monkeypatch.setattr(module, "memory_bytes", lambda: 16 << 30)


@pytest.mark.parametrize(("peak_gb", "workers"), [(0, 8), (1, 8), (3, 5), (16, 1), (99, 1)])
def test_memory_bounds_the_workers(small: None, peak_gb: int, workers: int) -> None:
    """One process a core as far as memory holds their peaks, never none."""
    assert runner.workers_of(Engine(), peak_gb << 30) == workers


def test_who_names_a_number_gets_it_and_is_warned(small: None, capsys: pytest.CaptureFixture[str]) -> None:
    """A number in the config stands; if memory may not do, that is said."""
    assert runner.workers_of(Engine(workers=8), 1 << 30) == 8
    assert capsys.readouterr().err == ""
    assert runner.workers_of(Engine(workers=8), 3 << 30) == 8
    assert "may need" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "bounded"), [("1048576\n", True), ("max\n", False), (str(1 << 62), False)])
def test_a_container_s_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, bounded: bool) -> None:
    """The limit of a control group bounds the memory, unless there is none."""
    (tmp_path / "memory.max").write_text(text)
    monkeypatch.setattr(machine, "CGROUP_LIMITS", (tmp_path / "memory.max", tmp_path / "absent"))
    assert (machine.memory_bytes() == 1 << 20) is bounded
    assert machine.memory_bytes() > 0


def test_a_run_that_wants_gpus_is_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan for cuda on a machine without a GPU is bad usage, not a failure of every task."""
    monkeypatch.setattr(runner, "gpus", list)
    for kind in ("local", "dask"):
        with pytest.raises(ConfigError, match="shows no GPU"):
            runner.engine_of(Engine(kind=kind), "cuda")


def test_each_gpu_has_its_own_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """The local engine of a plan for cuda has one child a GPU beside the others."""
    monkeypatch.setattr(runner, "gpus", lambda: ["cuda:0", "cuda:1"])
    monkeypatch.setattr(runner, "LocalEngine", lambda workers, gpus: (workers, gpus))
    assert runner.engine_of(Engine(workers=3), "cuda") == (3, ["cuda:0", "cuda:1"])
    assert runner.engine_of(Engine(workers=3), "cpu") == (3, ())
