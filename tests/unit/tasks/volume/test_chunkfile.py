"""Files of one chunk each: names, formats, and what is refused."""

from __future__ import annotations

import io

import h5py
import numpy as np
import pytest

from emseg.tasks.volume.chunkfile import ChunkFile
from emseg.tasks.volume.errors import ConfigError, CorruptChunkError, LayerError

LABELS = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)


def bytes_of(suffix: str, array: np.ndarray = LABELS, name: str = "segmentation") -> bytes:
    """An array as a file of a format."""
    out = io.BytesIO()
    if suffix == "npy":
        np.save(out, array)
    elif suffix == "npz":
        np.savez_compressed(out, **{name: array, "origins": np.array({"a": 1}, dtype=object)})
    else:
        with h5py.File(out, "w") as file:
            file.create_dataset(name, data=array, compression="gzip")
    return out.getvalue()


@pytest.mark.parametrize("suffix", ["npy", "npz", "h5"])
def test_each_format_gives_the_labels(suffix: str) -> None:
    """npy, npz (pickled neighbours are not touched) and HDF5, by the usual name or another."""
    file = ChunkFile("{x}_{y}_{z}." + suffix)
    assert np.array_equal(file.decoded(bytes_of(suffix), "here"), LABELS)
    if suffix != "npy":
        other = ChunkFile("{x}_{y}_{z}." + suffix, "mine")
        assert np.array_equal(other.decoded(bytes_of(suffix, name="mine"), "here"), LABELS)
        with pytest.raises(LayerError, match=r"here: has no array 'mine'; set dataset: to one of .*segmentation"):
            other.decoded(bytes_of(suffix), "here")


def test_names_and_corners_are_inverse() -> None:
    """A key's corner gives the key again; keys of other files, or with zeros in front, are none."""
    file = ChunkFile("{x}/{y}/seg-{x}_{y}_{z}.npz")
    corners = [(0, 0, 0), (40, 0, 120), (1000, 7, 3)]
    keys = [file.key(corner) for corner in corners]
    assert keys[1] == "40/0/seg-40_0_120.npz"
    others = [
        "40/0/seg-41_0_120.npz",
        "0/0/seg-0_0_0.prob",
        "readme.txt",
        "00/0/seg-00_0_0.npz",
        "x/40/0/seg-40_0_1.npz",
    ]
    assert list(file.corners([*others, *keys])) == corners


@pytest.mark.parametrize(
    ("name", "words"),
    [("{x}_{y}.npy", r"must hold \{x\}, \{y\} and \{z\}"), ("{x}_{y}_{z}.tif", "chunks are .npy, .npz, .h5")],
)
def test_bad_names_are_refused(name: str, words: str) -> None:
    """A pattern without a coordinate, or of another format."""
    with pytest.raises(ConfigError, match=words):
        ChunkFile(name)


@pytest.mark.parametrize("suffix", ["npy", "npz", "h5"])
def test_torn_and_foreign_content_is_refused(suffix: str) -> None:
    """Half a file, nonsense, floats and planes are one line each; pickles are never opened."""
    file = ChunkFile("{x}_{y}_{z}." + suffix)
    for content in (bytes_of(suffix)[:-40], b"nonsense", b""):
        with pytest.raises((CorruptChunkError, LayerError), match="here: "):
            file.decoded(content, "here")
    for array in (LABELS.astype(np.float32), LABELS[0]):
        with pytest.raises(LayerError, match=r"instances are integers \[z, y, x\]"):
            file.decoded(bytes_of(suffix, array), "here")
    if suffix == "npy":
        with pytest.raises(CorruptChunkError, match="not readable"):
            file.decoded(bytes_of("npy", np.array([{"a": 1}], dtype=object)), "here")
