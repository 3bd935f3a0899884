"""Volumes in other formats, a box at a time: HDF5 (file.h5:dataset), npy, TIFF stacks, folders of sections.

Arrays are [z, y, x], or [c, z, y, x]. Nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import ConfigError, LayerError
from emseg.tasks.volume.sections import Sections, folder_sections, section_files, stack_array, stack_sections

HDF5 = (".h5", ".hdf5", ".hdf")
TIFF = (".tif", ".tiff")
HDF5_TROUBLE = (OSError, RuntimeError, ValueError, TypeError, KeyError)  # what h5py raises on damage
DATASET = re.compile(r"(.+\.(?:h5|hdf5|hdf)):(.+)", re.IGNORECASE)
DIGEST_BYTES = 8 << 30  # of a larger file, samples are hashed
SAMPLES, SAMPLE_BYTES = 1024, 1 << 16


@dataclass(frozen=True)
class Foreign:
    """A volume of another format.

    Attributes:
        where: its name, for messages.
        shape_CZYX: channels, then voxels.
        dtype: of its values.
        load: z range, y and x slices -> array [c, z, y, x].
        voxel_nm: x, y, z, if the file says.
        about: file name and data set, for the record.
        by_section: whether a box costs whole sections, so that wide flat boxes are cheaper.
    """

    where: str
    shape_CZYX: tuple[int, int, int, int]
    dtype: np.dtype[Any]
    load: Callable[[slice, slice, slice], np.ndarray]
    voxel_nm: tuple[float, float, float] | None = None
    about: dict[str, Any] = field(default_factory=dict)
    by_section: bool = False

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
        ConfigError: no such file, data set or format. LayerError: the file is unreadable.
    """
    path, dataset = split_name(name)
    file = Path(path)
    if not file.exists():
        raise ConfigError(f"{path}: does not exist; give file.h5:dataset, a .npy, a TIFF stack or a folder of sections")
    suffix = file.suffix.lower()
    if file.is_dir():
        return _pictures(folder_sections(file), file)
    if suffix in HDF5:
        return _hdf5(file, dataset)
    if suffix == ".npy":
        return _array(file, _npy(file))
    if suffix in TIFF:
        mapped = stack_array(file)
        return _pictures(stack_sections(file), file) if mapped is None else _array(file, mapped)
    raise ConfigError(f"{path}: format {file.suffix!r} is unknown; use .h5, .npy, .tif or a folder of .png or .tif")


def split_name(name: str) -> tuple[str, str]:
    """File and data set of "file.h5:data/set"; the data set of other files is ''."""
    match = DATASET.fullmatch(name)
    return (match[1], match[2]) if match else (name, "")


def file_digest(path: Path) -> str:
    """What a file or a folder of sections is known by: sha256 of its bytes, of samples of a larger file's."""
    if path.is_dir():
        parts = [f"{file.name} {file_digest(file)}\n" for file in section_files(path)]
        return hashlib.sha256("".join(parts).encode()).hexdigest()
    size = path.stat().st_size
    with open(path, "rb") as file:
        if size <= DIGEST_BYTES:
            return hashlib.file_digest(file, "sha256").hexdigest()
        digest = hashlib.sha256(str(size).encode())
        for number in range(SAMPLES):
            file.seek((size - SAMPLE_BYTES) * number // (SAMPLES - 1))
            digest.update(file.read(SAMPLE_BYTES))
    return "samples:" + digest.hexdigest()


def _shape(shape: tuple[int, ...], where: str) -> tuple[int, int, int, int]:
    if len(shape) not in (3, 4) or not all(shape):
        raise ConfigError(f"{where}: has shape {list(shape)}; arrays [z, y, x] or [c, z, y, x] with voxels are read")
    c, z, y, x = shape if len(shape) == 4 else (1, *shape)
    return (c, z, y, x)


def _hdf5(file: Path, dataset: str) -> Foreign:
    try:
        opened = h5py.File(file, "r")
    except HDF5_TROUBLE as error:
        raise LayerError(f"{file}: is not readable HDF5 ({error})") from None
    found = opened.get(dataset) if dataset else None
    if not isinstance(found, h5py.Dataset):
        names: list[str] = []
        opened.visititems(lambda n, item: names.append(n) if isinstance(item, h5py.Dataset) else None)
        raise ConfigError(f"{file}: has no data set {dataset!r}; write {file}:NAME with one of {', '.join(names)}")
    where = f"{file}:{dataset}"
    shape = _shape(found.shape or (), where)

    def load(z: slice, y: slice, x: slice) -> np.ndarray:
        try:
            out: np.ndarray = found[..., z, y, x]
        except HDF5_TROUBLE as error:
            raise LayerError(f"{where}: is damaged in {z}, {y}, {x} ({error}); copy or export it again") from None
        return out.reshape(shape[0], z.stop - z.start, y.stop - y.start, x.stop - x.start)

    nm = found.attrs.get("voxel_nm_zyx", opened.attrs.get("voxel_nm_zyx"))
    return Foreign(where, shape, found.dtype, load, _voxel_nm(nm, where), {"file": file.name, "dataset": dataset})


def _voxel_nm(zyx: Any, where: str) -> tuple[float, float, float] | None:
    if zyx is None:
        return None
    try:
        z, y, x = (float(v) for v in zyx)
    except (TypeError, ValueError):
        z = y = x = math.nan
    if not all(math.isfinite(v) and v > 0 for v in (z, y, x)):
        raise LayerError(f"{where}: attribute voxel_nm_zyx {zyx!r} must be three positive numbers z, y, x; mend it")
    return (x, y, z)


def _npy(file: Path) -> np.ndarray:
    try:
        mapped = np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError, OverflowError) as error:
        raise LayerError(f"{file}: is not a plain npy array ({error})") from None
    if not isinstance(mapped, np.ndarray):
        raise LayerError(f"{file}: is an npz archive named .npy; save its array with numpy.save")
    return mapped


def _array(file: Path, array: np.ndarray) -> Foreign:
    shape = _shape(array.shape, str(file))
    array_CZYX = array if array.ndim == 4 else array[None]

    def load(z: slice, y: slice, x: slice) -> np.ndarray:
        out: np.ndarray = np.ascontiguousarray(array_CZYX[:, z, y, x])
        return out

    return Foreign(str(file), shape, array.dtype, load, about={"file": file.name})


def _pictures(pictures: Sections, path: Path) -> Foreign:
    shape = _shape((pictures.count, *pictures.shape_YX), str(path))
    return Foreign(str(path), shape, pictures.dtype, pictures.load, about={"file": path.name}, by_section=True)
