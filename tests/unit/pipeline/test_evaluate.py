"""Scores in chunks are those of the whole, and data that a model has seen are not scored unawares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from skimage.metrics import adapted_rand_error, variation_of_information

from emseg.pipeline import evaluate as evaluating
from emseg.pipeline.evaluate import evaluate
from emseg.pipeline.ingest import ingest
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import ConfigError, LayerError
from emseg.tasks.volume.info import LayerSpec, VoxelNm
from emseg.tasks.volume.layer import create_layer, open_layer

SHAPE = (21, 34, 45)
OFFSET = (-3, 5, 2)


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
            offset=OFFSET,
            chunk_vx=(16, 16, 16),
            mips=1,
        )
        assert made["dtype"] == ("uint32" if name == "truth" else "uint64")
    return folder, truth, seg


def test_scores_in_chunks_are_those_of_scikit_image(
    layers: tuple[Path, np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over an odd grid, VI and adapted Rand agree with scikit-image to 1e-9."""
    folder, truth, seg = layers
    monkeypatch.setattr(evaluating, "CHUNK_VX", (17, 13, 8))
    got = evaluate(f"{folder}/seg", f"{folder}/truth", workers=2)
    error, _, _ = adapted_rand_error(truth, seg, ignore_labels=(0,))
    kept = truth > 0
    split, merge = variation_of_information(truth[kept].astype(np.int64), seg[kept])
    assert got["vi_split"] == pytest.approx(split, abs=1e-9)
    assert got["vi_merge"] == pytest.approx(merge, abs=1e-9)
    assert got["adapted_rand_error"] == pytest.approx(error, abs=1e-9)
    assert "truth 0 left out" in got["convention"]


def labels_of(folder: Path, array_ZYX: np.ndarray, emseg: dict[str, Any], voxel_nm: VoxelNm = (4, 4, 40)) -> str:
    """A segmentation at the offset of the truth, with mip 1."""
    box = BBox.sized(OFFSET, (45, 34, 21))
    spec = LayerSpec(
        "segmentation", array_ZYX.dtype.name, 1, box, voxel_nm, (16, 16, 16), factors=((2, 2, 2),), emseg=emseg
    )
    layer = create_layer(str(folder / "seg"), spec)
    layer.write(box, array_ZYX)
    coarse = layer.at(1)
    coarse.write(coarse.bounds, np.ones(coarse.bounds.shape_ZYX, array_ZYX.dtype))
    return str(folder / "seg")


def seen_by(truth: Path, part: str = "train", sha256: str | None = None) -> dict[str, Any]:
    """Record of a model that has seen z 0 to 10 of the truth's file."""
    digest = open_layer(str(truth)).emseg["ingested"]["sha256"] if sha256 is None else sha256
    item = {"name": "v.h5", "sha256": digest, "part": part, "bbox": [[0, 0, 0], [45, 34, 10]]}
    return {"training": [item]}


def test_data_that_a_model_has_seen_is_refused_or_marked(
    layers: tuple[Path, np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    """A box that meets what the model was tuned on is refused, or marked on request; one beside it is scored."""
    folder, truth, _ = layers
    seg = labels_of(tmp_path, truth, seen_by(folder / "truth", "tune"))
    with pytest.raises(ConfigError, match="has seen this truth"):
        evaluate(seg, f"{folder}/truth")
    with pytest.raises(ConfigError, match="has seen this truth"):
        evaluate(seg, f"{folder}/truth", bbox=BBox.of((-3, 5, 11), (42, 39, 12)))
    assert "tune box -3,5,2:42,39,12" in evaluate(seg, f"{folder}/truth", allow_seen=True)["seen"]
    beyond = evaluate(seg, f"{folder}/truth", bbox=BBox.of((-3, 5, 12), (42, 39, 23)))
    assert (beyond["vi_split"], beyond["vi_merge"], beyond["seen"]) == (0, 0, "")


def test_what_was_seen_is_found_at_any_mip(layers: tuple[Path, np.ndarray, np.ndarray], tmp_path: Path) -> None:
    """A box at mip 1 is compared with what was seen at mip 0."""
    folder, truth, _ = layers
    seg = labels_of(tmp_path, truth, seen_by(folder / "truth"))
    with pytest.raises(ConfigError, match="has seen this truth"):
        evaluate(seg, f"{folder}/truth", mip=1, bbox=BBox.of((-1, 3, 5), (5, 9, 7)))
    assert not evaluate(seg, f"{folder}/truth", mip=1, bbox=BBox.of((-1, 3, 6), (5, 9, 8)))["seen"]


def test_other_files_have_not_been_seen(layers: tuple[Path, np.ndarray, np.ndarray], tmp_path: Path) -> None:
    """A record of another file does not count; a record that cannot be read is refused."""
    folder, truth, _ = layers
    (tmp_path / "other").mkdir()
    other = labels_of(tmp_path / "other", truth, seen_by(folder / "truth", sha256="0" * 64))
    assert evaluate(other, f"{folder}/truth")["seen"] == ""
    broken = labels_of(tmp_path, truth, {"training": [{"name": "v.h5"}]})
    with pytest.raises(LayerError, match=r"emseg\.training in its info cannot be read"):
        evaluate(broken, f"{folder}/truth")


def test_layers_that_do_not_fit_are_refused(layers: tuple[Path, np.ndarray, np.ndarray], tmp_path: Path) -> None:
    """Floats, other voxel sizes, and boxes outside one of the layers have no score."""
    folder, truth, _ = layers
    (tmp_path / "float").mkdir()
    floats = labels_of(tmp_path / "float", truth.astype(np.float32), {})
    with pytest.raises(ConfigError, match="labels are integers"):
        evaluate(floats, f"{folder}/truth")
    coarse = labels_of(tmp_path, truth, {}, (8, 8, 40))
    with pytest.raises(ConfigError, match=r"voxels of \[8, 8, 40\] nm"):
        evaluate(coarse, f"{folder}/truth")
    with pytest.raises(ConfigError, match="reaches beyond"):
        evaluate(f"{folder}/seg", f"{folder}/truth", bbox=BBox.of((-4, 5, 2), (4, 9, 9)))
    with pytest.raises(ConfigError, match="choose segment, ignore or singletons"):
        evaluate(f"{folder}/seg", f"{folder}/truth", background="all")


def test_a_stopped_evaluation_goes_on(layers: tuple[Path, np.ndarray, np.ndarray], tmp_path: Path) -> None:
    """With a folder for records, a second call counts nothing again and gives the same scores."""
    folder, _, _ = layers
    first = evaluate(f"{folder}/seg", f"{folder}/truth", records=str(tmp_path / "records"))
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}
    assert before
    assert evaluate(f"{folder}/seg", f"{folder}/truth", records=str(tmp_path / "records")) == first
    assert before == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}


def test_what_cannot_be_scored_is_said(layers: tuple[Path, np.ndarray, np.ndarray], tmp_path: Path) -> None:
    """An image is no truth; boxes that do not meet, or reach out, are named with what there is."""
    folder, _, _ = layers
    image = create_layer(
        str(tmp_path / "image"),
        LayerSpec("image", "uint8", 1, BBox.sized(OFFSET, (45, 34, 21)), (4, 4, 40), (16, 16, 16)),
    )
    with pytest.raises(ConfigError, match=r"is an image of 1 channels of uint8.*--kind segmentation"):
        evaluate(f"{folder}/seg", image.url)
    far = create_layer(
        str(tmp_path / "far"),
        LayerSpec("segmentation", "uint32", 1, BBox.sized((900, 0, 0), (9, 9, 9)), (4, 4, 40), (16, 16, 16)),
    )
    with pytest.raises(ConfigError, match="do not meet"):
        evaluate(f"{folder}/seg", far.url)
    with pytest.raises(ConfigError, match="reaches beyond -3,5,2:42,39,23"):
        evaluate(f"{folder}/seg", f"{folder}/truth", bbox=BBox.of((-5, 5, 2), (9, 9, 9)))
