"""Volumes in other formats, a box at a time: HDF5 (file.h5:dataset), npy, TIFF stacks, folders of sections.

Arrays are [z, y, x], or [c, z, y, x]. Nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tifffile
from PIL import Image

from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import ConfigError, LayerError

SECTIONS = (".png", ".tif", ".tiff")
HDF5 = (".h5", ".hdf5", ".hdf")
DATASET = re.compile(r"(.+\.(?:h5|hdf5|hdf)):(.+)")
DIGEST_BYTES = 8 << 30  # a larger file is not hashed


@dataclass(frozen=True)
class Foreign:
    """A volume of another format.

    Attributes:
        where: its name, for messages.
        shape_CZYX: channels, then voxels.
        dtype: of its values.
        load: z range, y and x slices -> array [c, z, y, x].
        voxel_nm: x, y, z, if the file says.
        about: file name, sha256 and data set, for the record.
    """

    where: str
    shape_CZYX: tuple[int, int, int, int]
    dtype: np.dtype[Any]
    load: Callable[[slice, slice, slice], np.ndarray]
    voxel_nm: tuple[float, float, float] | None = None
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, int, int]:
        """Voxels, x, y, z."""
        _, z, y, x = self.shape_CZYX
        return (x, y, z)

    def read(self, box: BBox) -> np.ndarray:
        """Array [c, z, y, x] of a box counted from the volume's first voxel."""
        return self.load(*box.slices_ZYX((0, 0, 0)))


def open_foreign(name: str) -> Foreign:
    """Open a volume.

    Raises:
        ConfigError: no such file, data set or format.
    """
    path, dataset = split_name(name)
    file = Path(path)
    if not file.exists():
        raise ConfigError(f"{path}: does not exist; give file.h5:dataset, a .npy, a TIFF stack or a folder of sections")
    if file.is_dir():
        return _folder(file)
    if file.suffix in HDF5:
        return _hdf5(file, dataset)
    if file.suffix == ".npy":
        return _array(file, _npy(file))
    if file.suffix in SECTIONS[1:]:
        return _stack(file)
    raise ConfigError(f"{path}: format {file.suffix!r} is unknown; use .h5, .npy, .tif or a folder of .png or .tif")


def split_name(name: str) -> tuple[str, str]:
    """File and data set of "file.h5:data/set"; the data set of other files is ''."""
    match = DATASET.fullmatch(name)
    return (match[1], match[2]) if match else (name, "")


def file_digest(path: Path) -> str:
    """sha256 of a file, '' of one too large to hash."""
    if path.stat().st_size > DIGEST_BYTES:
        return ""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _shape(shape: tuple[int, ...], where: str) -> tuple[int, int, int, int]:
    if len(shape) == 3:
        return (1, shape[0], shape[1], shape[2])
    if len(shape) == 4:
        return (shape[0], shape[1], shape[2], shape[3])
    raise ConfigError(f"{where}: has shape {list(shape)}; arrays [z, y, x] or [c, z, y, x] are read")


def _hdf5(file: Path, dataset: str) -> Foreign:
    try:
        opened = h5py.File(file, "r")
    except OSError as error:
        raise LayerError(f"{file}: is not readable HDF5 ({error})") from None
    found = opened.get(dataset) if dataset else None
    if not isinstance(found, h5py.Dataset):
        names: list[str] = []
        opened.visititems(lambda n, item: names.append(n) if isinstance(item, h5py.Dataset) else None)
        raise ConfigError(f"{file}: has no data set {dataset!r}; write {file}:NAME with one of {', '.join(names)}")
    shape = _shape(found.shape, f"{file}:{dataset}")
    nm = found.attrs.get("voxel_nm_zyx", opened.attrs.get("voxel_nm_zyx"))
    voxel_nm = None if nm is None else (float(nm[2]), float(nm[1]), float(nm[0]))
    about = {"file": file.name, "dataset": dataset}

    def load(z: slice, y: slice, x: slice) -> np.ndarray:
        out: np.ndarray = found[..., z, y, x].reshape(shape[0], z.stop - z.start, y.stop - y.start, x.stop - x.start)
        return out

    return Foreign(f"{file}:{dataset}", shape, found.dtype, load, voxel_nm, about)


def _npy(file: Path) -> np.ndarray:
    try:
        mapped: np.ndarray = np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError) as error:
        raise LayerError(f"{file}: is not a plain npy array ({error})") from None
    return mapped


def _array(file: Path, array: np.ndarray) -> Foreign:
    shape = _shape(array.shape, str(file))

    def load(z: slice, y: slice, x: slice) -> np.ndarray:
        out: np.ndarray = np.ascontiguousarray(array.reshape(shape)[:, z, y, x])
        return out

    return Foreign(str(file), shape, array.dtype, load, about={"file": file.name})


def _stack(file: Path) -> Foreign:
    try:
        pages = tifffile.TiffFile(file).pages
        first = pages[0].asarray()
    except (tifffile.TiffFileError, OSError, IndexError) as error:
        raise LayerError(f"{file}: is not a readable TIFF ({error})") from None
    return _sections(str(file), len(pages), first, lambda z: np.asarray(pages[z].asarray()), {"file": file.name})


def _folder(folder: Path) -> Foreign:
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in SECTIONS)
    if not files:
        raise ConfigError(f"{folder}: holds no .png or .tif sections")
    return _sections(str(folder), len(files), _picture(files[0]), lambda z: _picture(files[z]), {"file": folder.name})


def _picture(file: Path) -> np.ndarray:
    try:
        return np.asarray(tifffile.imread(file)) if file.suffix.lower() != ".png" else np.asarray(Image.open(file))
    except (OSError, ValueError) as error:
        raise LayerError(f"{file}: is not a readable picture ({error})") from None


def _sections(
    where: str, count: int, first: np.ndarray, section: Callable[[int], np.ndarray], about: dict[str, Any]
) -> Foreign:
    if first.ndim != 2:
        raise ConfigError(f"{where}: sections have shape {list(first.shape)}; grey pictures [y, x] are read")
    shape = (1, count, first.shape[0], first.shape[1])

    def load(z: slice, y: slice, x: slice) -> np.ndarray:
        planes = []
        for number in range(z.start, z.stop):
            plane = section(number)
            if plane.shape != first.shape or plane.dtype != first.dtype:
                raise LayerError(
                    f"{where}: section {number} is {plane.dtype}{list(plane.shape)}, the first "
                    f"{first.dtype}{list(first.shape)}; make them alike"
                )
            planes.append(plane[y, x])
        return np.stack(planes)[None]

    return Foreign(where, shape, first.dtype, load, about=about)
