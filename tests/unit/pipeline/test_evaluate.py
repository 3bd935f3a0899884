"""Ingest, evaluate and stats: small plans that end in exact figures."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from skimage.metrics import adapted_rand_error, variation_of_information

from emseg.pipeline import evaluate as evaluating
from emseg.pipeline.evaluate import evaluate
from emseg.pipeline.ingest import ingest
from emseg.pipeline.stats import stats
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import ConfigError
from emseg.tasks.volume.info import LayerSpec
from emseg.tasks.volume.layer import create_layer, open_layer

SHAPE = (21, 34, 45)


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray, np.ndarray]:
    """A truth and a segmentation, ingested from one HDF5 file."""
    folder = tmp_path_factory.mktemp("score")
    rng = np.random.default_rng(1)
    truth = np.repeat(rng.integers(0, 6, (7, 17, 15)), 3, 0).repeat(2, 1).repeat(3, 2).astype(np.uint32)[:21, :34, :45]
    seg = np.where(rng.random(SHAPE) < 0.8, truth * 7 + 1, rng.integers(0, 9, SHAPE)).astype(np.int64)
    with h5py.File(folder / "v.h5", "w") as file:
        file["truth"], file["seg"] = truth, seg
    for name in ("truth", "seg"):
        made = ingest(
            f"{folder}/v.h5:{name}",
            f"{folder}/{name}",
            voxel_nm=(4, 4, 40),
            offset=(-3, 5, 2),
            chunk_vx=(16, 16, 16),
            mips=1,
        )
        assert made["dtype"] == ("uint32" if name == "truth" else "uint64")
    return folder, truth, seg


def test_ingested_layers_hold_the_array(layers: tuple[Path, np.ndarray, np.ndarray]) -> None:
    """Every voxel arrives at its offset, and a coarser mip exists."""
    folder, truth, _ = layers
    layer = open_layer(f"{folder}/truth")
    assert layer.bounds == BBox.sized((-3, 5, 2), (45, 34, 21))
    assert np.array_equal(layer.read_ZYX(layer.bounds), truth)
    assert open_layer(f"{folder}/truth", 1).read_ZYX(layer.at(1).bounds).any()


def test_ingesting_again_copies_nothing(layers: tuple[Path, np.ndarray, np.ndarray]) -> None:
    """A second call finds all receipts and leaves every object as it is."""
    folder, _, _ = layers
    before = {p: p.stat().st_mtime_ns for p in (folder / "truth").rglob("*") if p.is_file()}
    ingest(
        f"{folder}/v.h5:truth", f"{folder}/truth", voxel_nm=(4, 4, 40), offset=(-3, 5, 2), chunk_vx=(16, 16, 16), mips=1
    )
    assert before == {p: p.stat().st_mtime_ns for p in (folder / "truth").rglob("*") if p.is_file()}


def test_scores_in_chunks_are_those_of_scikit_image(
    layers: tuple[Path, np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over an odd grid, VI and adapted Rand agree with scikit-image to 1e-9."""
    folder, truth, seg = layers
    monkeypatch.setattr(evaluating, "CHUNK_VX", (17, 13, 8))
    got = evaluate(f"{folder}/seg", f"{folder}/truth", workers=2)
    merge, split = variation_of_information(seg, truth, ignore_labels=(0,))
    error, _, _ = adapted_rand_error(truth, seg, ignore_labels=(0,))
    kept = truth > 0
    split, merge = variation_of_information(truth[kept].astype(np.int64), seg[kept])
    assert got["vi_split"] == pytest.approx(split, abs=1e-9)
    assert got["vi_merge"] == pytest.approx(merge, abs=1e-9)
    assert got["adapted_rand_error"] == pytest.approx(error, abs=1e-9)
    assert "truth 0 left out" in got["convention"]


def test_data_that_a_model_has_seen_is_refused_or_marked(
    layers: tuple[Path, np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    """A segmentation whose model was trained on the scored box is refused; with allow_seen it is marked."""
    folder, truth, _ = layers
    digest = open_layer(f"{folder}/truth").emseg["ingested"]["sha256"]
    box = BBox.sized((-3, 5, 2), (45, 34, 21))
    seen = [{"name": "v.h5", "sha256": digest, "part": "train", "bbox": [[0, 0, 0], [45, 34, 10]]}]
    spec = LayerSpec("segmentation", "uint32", 1, box, (4, 4, 40), (16, 16, 16), emseg={"training": seen})
    create_layer(str(tmp_path / "seg"), spec).write(box, truth)
    with pytest.raises(ConfigError, match="has seen this truth"):
        evaluate(str(tmp_path / "seg"), f"{folder}/truth")
    assert "train box" in evaluate(str(tmp_path / "seg"), f"{folder}/truth", allow_seen=True)["seen"]
    beyond = BBox.of((-3, 5, 12), (42, 39, 23))
    assert evaluate(str(tmp_path / "seg"), f"{folder}/truth", bbox=beyond)["vi_split"] == 0


def test_levels_are_those_of_numpy(tmp_path: Path) -> None:
    """Mean and spread per section and in all are those of the voxels above 0."""
    rng = np.random.default_rng(2)
    raw = rng.integers(0, 200, (9, 30, 31)).astype(np.uint8)
    raw[4] = 0
    box = BBox.sized((0, 0, -4), (31, 30, 9))
    create_layer(str(tmp_path / "raw"), LayerSpec("image", "uint8", 1, box, (4, 4, 40), (16, 16, 4))).write(box, raw)
    got = stats(str(tmp_path / "raw"), tmp_path / "levels.json")
    stored = json.loads((tmp_path / "levels.json").read_text())
    assert got["mean"] == pytest.approx(raw[raw > 0].mean())
    assert stored["sections"]["-4"][2:] == pytest.approx([raw[0][raw[0] > 0].mean(), raw[0][raw[0] > 0].std()])
    assert stored["sections"]["0"] == [0, 0, 0.0, 0.0]
