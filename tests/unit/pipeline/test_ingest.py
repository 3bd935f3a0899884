"""A file becomes a layer: what is chosen, what is refused, and going on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cloudvolume import CloudVolume
from PIL import Image

from emseg.pipeline import ingest as ingesting
from emseg.pipeline.driver import Tally
from emseg.pipeline.ingest import ingest
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import ConfigError, EmsegError, LayerError, TaskFailedError
from emseg.tasks.volume.layer import open_layer
from emseg.tasks.volume.objects import Objects

NM = (4, 4, 40)
ARRAY = np.random.default_rng(0).integers(0, 255, (9, 21, 30)).astype(np.uint8)


def saved(folder: Path, array: np.ndarray) -> str:
    """A .npy of an array."""
    np.save(folder / "a.npy", array)
    return str(folder / "a.npy")


def stamps(folder: Path) -> dict[str, int]:
    """Names and times of all files."""
    return {str(p): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def test_a_file_becomes_a_layer_once(tmp_path: Path) -> None:
    """CloudVolume reads every voxel and a coarser mip; a second call runs no task and changes no file."""
    source, ended = saved(tmp_path, ARRAY), list[Tally]()
    options: dict[str, Any] = {"voxel_nm": NM, "offset": (-3, 5, 2), "chunk_vx": (8, 8, 4), "mips": 1, "workers": 2}
    made = ingest(source, str(tmp_path / "out"), **options, watch=ended.append)
    assert made["bbox"] == "-3,5,2:27,26,11"
    assert ended[-1].complete
    volume = CloudVolume(made["layer"], progress=False)
    assert np.array_equal(np.asarray(volume[:])[..., 0].T, ARRAY)
    assert list(volume.meta.scale(1)["resolution"]) == [8, 8, 80]
    assert np.asarray(CloudVolume(made["layer"], mip=1, progress=False)[:]).any()
    before = stamps(tmp_path)
    ingest(source, str(tmp_path / "out"), **options)
    assert stamps(tmp_path) == before


def test_what_is_lost_is_copied_again(tmp_path: Path) -> None:
    """Without one receipt, that chunk alone is copied again."""
    source, out = saved(tmp_path, ARRAY), tmp_path / "out"
    ingest(source, str(out), voxel_nm=NM, chunk_vx=(4, 4, 4))
    lost = Objects(str(tmp_path / "out.ingest"))
    key = "receipts/ingest/0_1_1.json"
    assert lost.exists(key)
    lost.delete(key)
    before = stamps(out)
    ingest(source, str(out), voxel_nm=NM, chunk_vx=(4, 4, 4))
    again = {name for name, stamp in stamps(out).items() if stamp != before[name]}
    keys = open_layer(str(out)).object_keys(BBox.of((0, 16, 4), (16, 21, 8)))
    assert again == {f"{out}/{key}.gz" for key in keys}


def test_sections_are_copied_in_wide_flat_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks on pictures span x whole and as much of y as their budget holds, and the layer is the same."""
    monkeypatch.setattr(ingesting, "TASK_BYTES", 32 * 8 * 4 * 2)
    (tmp_path / "png").mkdir()
    for z, section in enumerate(ARRAY):
        Image.fromarray(section).save(tmp_path / "png" / f"{z}.png")
    ingest(str(tmp_path / "png"), str(tmp_path / "out"), voxel_nm=NM, chunk_vx=(8, 8, 4))
    assert np.array_equal(open_layer(str(tmp_path / "out")).read_ZYX(BBox.of((0, 0, 0), (30, 21, 9))), ARRAY)
    keys = sorted(Objects(str(tmp_path / "out.ingest")).list("receipts"))
    assert keys == [f"receipts/ingest/0_{y}_{z}.json" for y in range(2) for z in range(3)]


@pytest.mark.parametrize(
    ("dtype", "kind", "stored", "what"),
    [
        ("int64", None, "uint64", "segmentation"),
        ("int32", None, "uint32", "segmentation"),
        ("uint16", None, "uint16", "image"),
        ("float32", None, "float32", "image"),
        ("uint8", "segmentation", "uint8", "segmentation"),
        ("uint32", "image", "uint32", "image"),
    ],
)
def test_kind_and_type_of_a_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, kind: str | None, stored: str, what: str
) -> None:
    """Labels become unsigned; 32 and 64 bits of one channel are a segmentation unless the user says otherwise."""
    specs: dict[str, Any] = {}
    monkeypatch.setattr(ingesting, "run_small", lambda plan, place, workers, watch, layers: specs.update(layers))
    ingest(saved(tmp_path, ARRAY.astype(dtype)), str(tmp_path / "out"), voxel_nm=NM, kind=kind)
    (spec,) = specs.values()
    assert (spec.dtype, spec.kind) == (stored, what)


@pytest.mark.parametrize(
    ("array", "options", "match"),
    [
        (ARRAY, {}, "give --voxel-nm"),
        (ARRAY, {"voxel_nm": (4, 0, 4)}, "must be positive"),
        (ARRAY, {"voxel_nm": (4, float("nan"), 4)}, "must be positive"),
        (ARRAY, {"voxel_nm": NM, "chunk_vx": (8, 0, 8)}, "at least 1 voxel"),
        (ARRAY, {"voxel_nm": NM, "kind": "picture"}, "choose image, segmentation or affinity"),
        (ARRAY, {"voxel_nm": NM, "kind": "affinity"}, "at least 3"),
        (ARRAY.astype(np.float32), {"voxel_nm": NM, "kind": "segmentation"}, "one of integers"),
        (ARRAY.astype(np.float64), {"voxel_nm": NM}, "is float64"),
    ],
)
def test_what_does_not_fit_is_refused_first(
    tmp_path: Path, array: np.ndarray, options: dict[str, Any], match: str
) -> None:
    """The message says what is wrong, and nothing was written."""
    with pytest.raises(ConfigError, match=match):
        ingest(saved(tmp_path, array), str(tmp_path / "out"), **options)
    assert [p.name for p in tmp_path.iterdir()] == ["a.npy"]


def test_another_layer_is_not_overwritten(tmp_path: Path) -> None:
    """A place with another layer, or with the layer of a file that has changed since, is refused untouched."""
    source = saved(tmp_path, ARRAY)
    ingest(source, str(tmp_path / "out"), voxel_nm=NM)
    before = stamps(tmp_path / "out")
    with pytest.raises(LayerError, match="exists with another info"):
        ingest(source, str(tmp_path / "out"), voxel_nm=(8, 8, 8))
    saved(tmp_path, 255 - ARRAY)
    with pytest.raises(EmsegError):
        ingest(source, str(tmp_path / "out"), voxel_nm=NM)
    assert stamps(tmp_path / "out") == before


def test_labels_below_0_fail_in_one_line(tmp_path: Path) -> None:
    """The error of a task names file and place."""
    with pytest.raises(TaskFailedError, match=r"a\.npy: has labels below 0 in 0,0,0:30,21,9"):
        ingest(saved(tmp_path, ARRAY.astype(np.int64) - 9), str(tmp_path / "out"), voxel_nm=NM)


@pytest.mark.parametrize("shape", [(20, 21, 30, 3), (128, 6, 6, 4)])
def test_affinities_with_channels_last_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """A last axis of 3, or more channels than any affinities have: the line says the order that is read."""
    source = saved(tmp_path, np.zeros(shape, np.uint8))
    with pytest.raises(ConfigError, match=r"looks channel-last; affinities are \[c, z, y, x\] .*: transpose it"):
        ingest(source, str(tmp_path / "out"), voxel_nm=NM, kind="affinity")
    assert not (tmp_path / "out").exists()


def test_affinities_three_voxels_wide_are_read(tmp_path: Path) -> None:
    """Three channels of any width are affinities."""
    source = saved(tmp_path, np.zeros((3, 9, 9, 3), np.uint8))
    assert ingest(source, str(tmp_path / "out"), voxel_nm=NM, kind="affinity")["channels"] == 3
