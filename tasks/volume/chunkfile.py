"""Files of one chunk each, as segmenters write them: .npy, .npz or HDF5, [z, y, x], named by their first voxel."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import h5py
import numpy as np

from emseg.tasks.volume.bbox import Vec, vec
from emseg.tasks.volume.errors import ConfigError, CorruptChunkError, LayerError
from emseg.tasks.volume.limits import ARRAY_BYTES, array_bytes, require_bytes

AXES = ("{x}", "{y}", "{z}")
HDF5 = (".h5", ".hdf5", ".hdf")
NPZ_ARRAY = "segmentation"  # what flood-filling networks call it


@dataclass(frozen=True)
class ChunkFile:
    """How a chunk's file is named and what is read of it.

    Attributes:
        name: key below the folder, with {x}, {y} and {z} of the chunk's first voxel, in voxels.
        dataset: array of an .npz or data set of an HDF5 file; '' for `segmentation`.
    """

    name: str
    dataset: str = ""

    def __post_init__(self) -> None:
        if not all(axis in self.name for axis in AXES):
            raise ConfigError(
                f"name {self.name!r}: must hold {{x}}, {{y}} and {{z}}, such as seg-{{x}}_{{y}}_{{z}}.npz"
            )
        if not self.name.endswith((".npy", ".npz", *HDF5)):
            raise ConfigError(f"name {self.name!r}: chunks are .npy, .npz, .h5, .hdf5 or .hdf files")

    def key(self, corner: Vec) -> str:
        """Key of the chunk whose first voxel is `corner`."""
        key = self.name
        for axis, value in zip(AXES, corner, strict=True):
            key = key.replace(axis, str(value))
        return key

    def corners(self, keys: Iterable[str]) -> Iterator[Vec]:
        """First voxels of those keys that are chunks."""
        pattern = re.escape(self.name)
        for letter in "xyz":
            mark = re.escape(f"{{{letter}}}")
            pattern = pattern.replace(mark, rf"(?P<{letter}>-?\d+)", 1).replace(mark, rf"(?P={letter})")
        for key in keys:
            found = re.fullmatch(pattern, key)
            if found and self.key(corner := vec([int(found[letter]) for letter in "xyz"])) == key:
                yield corner

    def decoded(self, content: bytes, where: str) -> np.ndarray:
        """Integers [z, y, x] of a file's bytes.

        Raises:
            LayerError: no such array, or not three-dimensional integers. CorruptChunkError: the file is torn.
        """
        try:
            array = self._array(content, where)
        except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            if isinstance(error, LayerError):
                raise
            raise CorruptChunkError(f"{where}: is not readable ({error}); write it again") from None
        if array.ndim != 3 or array.dtype.kind not in "ui":
            raise LayerError(
                f"{where}: holds {array.dtype}{list(array.shape)}; instances are integers [z, y, x], 0 background"
            )
        return array

    def _array(self, content: bytes, where: str) -> np.ndarray:
        if self.name.endswith(".npy"):
            return _npy(content)
        wanted = self.dataset or NPZ_ARRAY
        if self.name.endswith(".npz"):
            with zipfile.ZipFile(io.BytesIO(content)) as file:
                names = [n.removesuffix(".npy") for n in file.namelist()]
                _require_named(wanted, names, where)
                require_bytes(where, file.getinfo(wanted + ".npy").file_size, ARRAY_BYTES)
                return _npy(file.read(wanted + ".npy"))
        with h5py.File(io.BytesIO(content), "r") as file:
            names = []
            file.visititems(lambda n, item: names.append(n) if isinstance(item, h5py.Dataset) else None)
            _require_named(wanted, names, where)
            array_bytes(file[wanted].shape, file[wanted].dtype.itemsize, where)
            return np.asarray(file[wanted][...])


def _npy(content: bytes) -> np.ndarray:
    out: np.ndarray = np.load(io.BytesIO(content), allow_pickle=False)
    return out


def _require_named(wanted: str, names: list[str], where: str) -> None:
    if wanted not in names:
        raise LayerError(f"{where}: has no array {wanted!r}; set dataset: to one of {', '.join(names)}")
