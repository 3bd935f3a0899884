"""Volumes in other formats read the same box whatever the format."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

from emseg.tasks.volume import foreign
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import ConfigError, LayerError
from emseg.tasks.volume.foreign import file_digest, open_foreign

ARRAY = np.random.default_rng(0).integers(0, 255, (7, 11, 13)).astype(np.uint8)
BOX = BBox.of((2, 3, 1), (9, 10, 6))


def written(folder: Path, name: str) -> str:
    """The array in one format."""
    if name == "h5":
        with h5py.File(folder / "a.h5", "w") as file:
            file["inner/raw"] = ARRAY
            file["inner/raw"].attrs["voxel_nm_zyx"] = (40, 8, 4)
        return str(folder / "a.h5:inner/raw")
    if name == "npy":
        np.save(folder / "a.npy", ARRAY)
        return str(folder / "a.npy")
    if name == "tif":
        tifffile.imwrite(folder / "a.tif", ARRAY, photometric="minisblack")
        return str(folder / "a.tif")
    (folder / "png").mkdir()
    for z, section in enumerate(ARRAY):
        Image.fromarray(section).save(folder / "png" / f"{z:04}.png")
    return str(folder / "png")


@pytest.mark.parametrize("name", ["h5", "npy", "tif", "png"])
def test_a_box_is_the_same_in_every_format(tmp_path: Path, name: str) -> None:
    """Shape, type and a box of the volume agree with the array."""
    volume = open_foreign(written(tmp_path, name))
    assert volume.size == (13, 11, 7)
    assert volume.dtype == np.uint8
    assert np.array_equal(volume.read(BOX)[0], ARRAY[BOX.slices_ZYX((0, 0, 0))])


def test_voxel_size_comes_from_the_file(tmp_path: Path) -> None:
    """The attribute voxel_nm_zyx is turned to x, y, z."""
    assert open_foreign(written(tmp_path, "h5")).voxel_nm == (4.0, 8.0, 40.0)


def test_a_voxel_size_that_is_none_is_refused(tmp_path: Path) -> None:
    """An attribute of two numbers, or of one that is not positive, is named."""
    for size in ((40, 8), (40, 8, 0)):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["raw"] = ARRAY
            file["raw"].attrs["voxel_nm_zyx"] = size
        with pytest.raises(LayerError, match="three positive numbers"):
            open_foreign(str(tmp_path / "a.h5:raw"))


def test_channels_come_first(tmp_path: Path) -> None:
    """An array of four axes is [c, z, y, x]; other numbers of axes, and arrays without voxels, are refused."""
    np.save(tmp_path / "four.npy", np.stack([ARRAY, ARRAY + 1]))
    volume = open_foreign(str(tmp_path / "four.npy"))
    assert volume.shape_CZYX == (2, 7, 11, 13)
    assert np.array_equal(volume.read(BOX)[1], (ARRAY + 1)[BOX.slices_ZYX((0, 0, 0))])
    for shape in ((3, 4), (2, 2, 2, 2, 2), (0, 4, 4)):
        np.save(tmp_path / "bad.npy", np.zeros(shape))
        with pytest.raises(ConfigError, match="has shape"):
            open_foreign(str(tmp_path / "bad.npy"))


def test_a_folder_is_known_by_its_sections(tmp_path: Path) -> None:
    """The digest of a folder changes with any section, and not with other files."""
    folder = Path(written(tmp_path, "png"))
    before = file_digest(folder)
    (folder / "notes.txt").write_text("nothing")
    assert file_digest(folder) == before
    Image.fromarray(ARRAY[0]).save(folder / "0006.png")
    assert file_digest(folder) != before


def test_a_large_file_is_known_by_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the limit, size, first and last bytes still count, and the digest says that it is of samples."""
    monkeypatch.setattr(foreign, "DIGEST_BYTES", 1000)
    monkeypatch.setattr(foreign, "SAMPLE_BYTES", 10)
    found = set()
    for content in (b"a" * 5000, b"a" * 5001, b"b" + b"a" * 4999, b"a" * 4999 + b"b"):
        (tmp_path / "a").write_bytes(content)
        found.add(file_digest(tmp_path / "a"))
    assert len(found) == 4
    assert all(d.startswith("samples:") for d in found)


def test_a_missing_data_set_lists_those_there_are(tmp_path: Path) -> None:
    """The message names what could have been meant."""
    written(tmp_path, "h5")
    with pytest.raises(ConfigError, match="with one of inner/raw"):
        open_foreign(str(tmp_path / "a.h5:raw"))


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    """An npy file that would have to be unpickled is not opened."""
    np.save(tmp_path / "bad.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(LayerError, match="not a plain npy array"):
        open_foreign(str(tmp_path / "bad.npy"))


def test_sections_that_differ_are_refused(tmp_path: Path) -> None:
    """A section of another size is named."""
    folder = Path(written(tmp_path, "png"))
    Image.fromarray(ARRAY[0][:-1]).save(folder / "0003.png")
    with pytest.raises(LayerError, match="section 3 is uint8"):
        open_foreign(str(folder)).read(BOX)


def test_unknown_formats_and_absent_files_are_refused(tmp_path: Path) -> None:
    """Both say what is read instead."""
    (tmp_path / "a.raw").write_bytes(b"0")
    with pytest.raises(ConfigError, match=r"format '\.raw' is unknown"):
        open_foreign(str(tmp_path / "a.raw"))
    with pytest.raises(ConfigError, match="does not exist"):
        open_foreign(str(tmp_path / "b.npy"))


def test_an_empty_npy_file_is_refused(tmp_path: Path) -> None:
    """A file without content is named."""
    (tmp_path / "a.npy").write_bytes(b"")
    with pytest.raises(LayerError, match=r"a\.npy: is not a plain npy array"):
        open_foreign(str(tmp_path / "a.npy"))


def test_an_archive_named_npy_is_refused(tmp_path: Path) -> None:
    """An npz archive under the name of an npy array is named for what it is."""
    np.savez(tmp_path / "a.npz", a=ARRAY)
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    with pytest.raises(LayerError, match=r"a\.npy: is an npz archive"):
        open_foreign(str(tmp_path / "a.npy"))


def test_a_damaged_chunk_of_hdf5_is_refused_for_good(tmp_path: Path) -> None:
    """A box over a chunk that does not unpack is a permanent error that names file, data set and box."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("raw", data=ARRAY, chunks=(7, 11, 13), compression="gzip")
        where = dataset.id.get_chunk_info(0).byte_offset
    content = bytearray((tmp_path / "a.h5").read_bytes())
    content[where : where + 40] = b"\xff" * 40
    (tmp_path / "a.h5").write_bytes(content)
    with pytest.raises(LayerError, match=r"a\.h5:raw: is damaged") as caught:
        open_foreign(str(tmp_path / "a.h5:raw")).read(BOX)
    assert caught.value.permanent
