"""Grey levels of a source, from histograms of its chunks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from emseg.pipeline import stats as measuring
from emseg.pipeline.stats import HIGH_SHARE, LOW_SHARE, stats
from emseg.tasks.base import canonical_json
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import ConfigError
from emseg.tasks.volume.info import LayerSpec
from emseg.tasks.volume.layer import create_layer
from emseg.tasks.volume.objects import Objects


def layer_of(folder: Path, raw_ZYX: np.ndarray, z_first: int = -4) -> str:
    """A layer that holds an array."""
    z, y, x = raw_ZYX.shape
    box = BBox.sized((3, 0, z_first), (x, y, z))
    spec = LayerSpec("image", raw_ZYX.dtype.name, 1, box, (4, 4, 40), (16, 16, 4))
    create_layer(str(folder / "raw"), spec).write(box, raw_ZYX)
    return str(folder / "raw")


@pytest.mark.parametrize(("dtype", "top"), [("uint8", 200), ("uint16", 40000)])
def test_levels_are_those_of_numpy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, top: int) -> None:
    """Over an odd grid, levels, mean and spread per section and in all are those of the voxels above 0."""
    monkeypatch.setattr(measuring, "CHUNK_VX", (13, 17, 4))
    raw = np.random.default_rng(2).integers(0, top, (9, 30, 31)).astype(dtype)
    raw[4] = 0
    got = stats(layer_of(tmp_path, raw), tmp_path / "levels.json")
    stored = json.loads((tmp_path / "levels.json").read_text())
    assert sorted(stored["sections"], key=int) == [str(z) for z in range(-4, 5)]
    assert stored["sections"]["0"] == [0, 0, 0.0, 0.0]
    for found, values in (
        ([stored[k] for k in ("low", "high", "mean", "std")], raw),
        (stored["sections"]["-2"], raw[2]),
    ):
        kept = values[values > 0]
        quantiles = np.quantile(kept, [LOW_SHARE, HIGH_SHARE], method="inverted_cdf")
        assert found == pytest.approx([*quantiles, kept.mean(), kept.std()])
    assert got["sections"] == 9


def test_the_file_is_canonical_whatever_the_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two grids and two numbers of workers write the same bytes, as a plan pins their sha256."""
    source = layer_of(tmp_path, np.random.default_rng(3).integers(0, 99, (6, 20, 20)).astype(np.uint8))
    stats(source, tmp_path / "one.json")
    monkeypatch.setattr(measuring, "CHUNK_VX", (8, 9, 5))
    stats(source, tmp_path / "two.json", workers=2)
    content = (tmp_path / "one.json").read_bytes()
    assert content == (tmp_path / "two.json").read_bytes() == canonical_json(json.loads(content))


def test_a_stopped_measurement_goes_on(tmp_path: Path) -> None:
    """With a folder for records, a second call reads nothing again and gives the same levels."""
    source = layer_of(tmp_path, np.random.default_rng(4).integers(0, 99, (6, 20, 20)).astype(np.uint8))
    first = stats(source, tmp_path / "levels.json", records=str(tmp_path / "records"))
    assert list(Objects(str(tmp_path / "records")).list("receipts"))
    for stored in (tmp_path / "raw" / "4_4_40").iterdir():
        stored.unlink()
    assert stats(source, tmp_path / "levels.json", records=str(tmp_path / "records")) == first


def test_what_cannot_be_measured_is_refused_first(tmp_path: Path) -> None:
    """Floats have no histogram; a place that may not be written is named before any voxel is read."""
    floats = layer_of(tmp_path, np.zeros((4, 8, 8), np.float32))
    with pytest.raises(ConfigError, match="stats reads grey uint8 or uint16"):
        stats(floats, tmp_path / "levels.json")
    (tmp_path / "grey").mkdir()
    grey = layer_of(tmp_path / "grey", np.zeros((4, 8, 8), np.uint8))
    for out in (tmp_path, tmp_path / "absent" / "levels.json"):
        with pytest.raises(ConfigError, match="cannot be written"):
            stats(grey, out)
