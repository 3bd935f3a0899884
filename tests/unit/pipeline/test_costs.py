"""Prices against what runs really write, read and need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import tiny_image, tiny_model

from emseg.pipeline.config import Engine, RunConfig
from emseg.pipeline.planner import Planned, plan_run
from emseg.pipeline.receipts import Ledger
from emseg.pipeline.runner import run_plan
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.info import LayerSpec
from emseg.tasks.volume.layer import create_layer
from emseg.tasks.volume.objects import Objects


def finished(folder: Path, values: dict[str, Any]) -> tuple[Planned, Objects]:
    """A planned run, run by one process."""
    config = RunConfig.model_validate({"run": str(folder / "run"), **values})
    planned = plan_run(config)
    run, _ = planned.stored(config.run)
    run_plan(planned.plan, run, Engine(workers=1))
    return planned, run


def affinities(folder: Path, side: int, dtype: str, channels: int) -> str:
    """A smooth affinity layer with many fragments; its URL."""
    box = BBox.sized((0, 0, 0), (side,) * 3)
    z, y, x = np.ogrid[:side, :side, :side]
    wave = (np.sin(x / 2.1) * np.sin(y / 2.3) * np.sin(z / 1.9) + 1) / 2
    top = {"uint8": 255, "uint16": 65535, "float32": 1}[dtype]
    values = np.stack([np.roll(wave, c, 0) for c in range(channels)]) * top
    layer = create_layer(str(folder / "aff"), LayerSpec("image", dtype, channels, box, (8, 8, 8), (64, 64, 64)))
    layer.write(box, values.astype(dtype))
    return str(folder / "aff")


@pytest.mark.parametrize(
    ("fragment", "relabel", "mips", "extra"),
    [
        ((23, 40, 19), (16, 48, 32), 2, {}),
        ((41, 37, 44), (48, 48, 48), 0, {}),
        ((16, 16, 16), (32, 16, 32), 1, {"skip_blank": {"mip": 1}}),
    ],
)
def test_the_price_counts_every_object(
    tmp_path: Path, fragment: tuple[int, ...], relabel: tuple[int, ...], mips: int, extra: dict[str, Any]
) -> None:
    """An undisturbed run leaves exactly as many objects as its price says: layers, mips, tables, records, plan."""
    stages = {
        "predict": {"chunk_vx": (32, 16, 32), "model": tiny_model(tmp_path)},
        "fragment": {"chunk_vx": fragment},
        "relabel": {"chunk_vx": relabel},
        "downsample": {"mips": mips},
    }
    image = {"layer": tiny_image(str(tmp_path / "image"))}
    planned, run = finished(
        tmp_path, {"source": image, "layers": {"chunk_vx": (16, 16, 16)}, "stages": stages, **extra}
    )
    assert planned.price().objects == len(list(run.list()))


@pytest.mark.parametrize(("dtype", "channels"), [("uint8", 3), ("uint16", 5), ("float32", 3)])
def test_bytes_read_are_those_of_the_layer(tmp_path: Path, dtype: str, channels: int) -> None:
    """A leaf reads all channels in the layer's own type, whatever it uses of them."""
    url = affinities(tmp_path, 20, dtype, channels)
    values = {"affinities": {"layer": url}, "run": "r", "stages": {"downsample": {"mips": 0}}}
    price = plan_run(RunConfig.model_validate(values)).price()
    labels = 4 * 20**3
    assert price.bytes_read == 20**3 * channels * np.dtype(dtype).itemsize + labels


@pytest.mark.slow
@pytest.mark.parametrize(
    ("side", "dtype", "channels"), [(64, "uint8", 3), (128, "uint8", 3), (128, "float32", 3), (128, "float32", 12)]
)
def test_estimated_peaks_hold(tmp_path: Path, side: int, dtype: str, channels: int) -> None:
    """No task of any size needs more than a tenth above its estimate, and none less than half of it."""
    chunk = {"chunk_vx": (side,) * 3}
    url = affinities(tmp_path, side, dtype, channels)
    planned, run = finished(tmp_path, {"affinities": {"layer": url}, "stages": {"fragment": chunk, "relabel": chunk}})
    estimates = planned.price().peak_bytes_per_task
    for key in planned.plan.keys():
        stage = key.split("/")[0]
        if stage in estimates:
            peak = (Ledger(run).receipt(key) or {})["run"]["peak_bytes"]
            assert 0.5 < peak / estimates[stage] < 1.1, (key, peak >> 20, estimates[stage] >> 20)


@pytest.mark.slow
def test_the_estimated_peak_of_a_network_holds(tmp_path: Path) -> None:
    """The same of network inference."""
    stages = {"predict": {"chunk_vx": (48, 48, 48), "model": tiny_model(tmp_path)}}
    image = {"layer": tiny_image(str(tmp_path / "image"))}
    planned, run = finished(tmp_path, {"source": image, "layers": {"chunk_vx": (16, 16, 16)}, "stages": stages})
    peak = (Ledger(run).receipt("predict/0_0_0") or {})["run"]["peak_bytes"]
    assert 0.5 < peak / planned.price().peak_bytes_per_task["predict"] < 1.1


def test_a_leaf_with_histograms_is_priced_higher(tmp_path: Path) -> None:
    """Where a quantile links, a leaf keeps more per voxel."""
    url = affinities(tmp_path, 16, "uint8", 3)
    peaks = []
    for linkage in ("mean", "quantile50"):
        values = {"run": str(tmp_path / "run"), "affinities": {"layer": url}, "stages": {"merge": {"linkage": linkage}}}
        planned = plan_run(RunConfig.model_validate(values))
        peaks.append(planned.price().peak_bytes_per_task["fragment"])
    assert peaks[1] - peaks[0] == 24 * 16**3
