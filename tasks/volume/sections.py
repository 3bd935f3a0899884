"""Volumes that come as pictures: multi-page TIFF, or a folder of PNG or TIFF sections.

A compressed section is decoded whole, one at a time; memory is bounded by the box asked for and one section.
"""

from __future__ import annotations

import math
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import PngImagePlugin

from emseg.tasks.volume.errors import ConfigError, EmsegError, LayerError
from emseg.tasks.volume.limits import require_bytes

SUFFIXES = (".png", ".tif", ".tiff")
SECTION_BYTES = 8 << 30  # one decoded section
UNREADABLE: tuple[type[Exception], ...] = (  # what tifffile, Pillow and their codecs raise on damaged files
    *(tifffile.TiffFileError, OSError, ValueError, TypeError, LookupError, RuntimeError),
    *(struct.error, zlib.error, OverflowError, ZeroDivisionError, AttributeError, SyntaxError),
    *(AssertionError, EOFError, MemoryError),
)
GREY = ("1", "L", "I;16", "I;16B")  # modes of PNG pictures whose values are grey levels or labels


@dataclass(frozen=True)
class Sections:
    """Sections of one shape and data type.

    Attributes:
        where: name, for messages.
        count: how many.
        shape_YX, dtype: of each.
        section: number -> array [y, x].
    """

    where: str
    count: int
    shape_YX: tuple[int, ...]
    dtype: np.dtype[Any]
    section: Callable[[int], np.ndarray]

    def load(self, z: slice, y: slice, x: slice) -> np.ndarray:
        """Array [1, z, y, x].

        Raises:
            LayerError: a section is unlike the first, or unreadable.
        """
        out = np.empty((1, z.stop - z.start, y.stop - y.start, x.stop - x.start), self.dtype)
        for number in range(z.start, z.stop):
            plane_YX = self.section(number)
            if plane_YX.shape != self.shape_YX or plane_YX.dtype != self.dtype:
                raise LayerError(
                    f"{self.where}: section {number} is {plane_YX.dtype}{list(plane_YX.shape)}, the first "
                    f"{self.dtype}{list(self.shape_YX)}; make them alike"
                )
            out[0, number - z.start] = plane_YX[y, x]
        return out


def folder_sections(folder: Path) -> Sections:
    """Sections of a folder, in the order of the numbers in their names: s2 before s10."""
    files = section_files(folder)
    if not files:
        raise ConfigError(f"{folder}: holds no .png or .tif sections")
    return _alike(str(folder), len(files), lambda number: _picture(files[number]))


def section_files(folder: Path) -> list[Path]:
    """The pictures of a folder, in order."""
    return sorted((p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES), key=_natural)


def stack_array(file: Path) -> np.ndarray | None:
    """An uncompressed stack mapped into memory, [z, y, x]; None of any other.

    Raises:
        LayerError: no TIFF. ConfigError: colours, or two axes beside y and x.
    """
    with _readable(file), tifffile.TiffFile(file) as tiff:
        shapes = _shapes_ZYX(tiff, file)
        plain = len(tiff.series) == 1 and tiff.series[0].dataoffset is not None
    if not plain:
        return None
    with _readable(file):
        mapped: np.ndarray = tifffile.memmap(file, mode="r")
        return mapped.reshape(shapes[0])


def stack_sections(file: Path) -> Sections:
    """Pages of a TIFF.

    Raises:
        LayerError: damaged. ConfigError: its pages are not its sections.
    """
    with _readable(file):
        tiff = tifffile.TiffFile(file)
        shapes, pages = _shapes_ZYX(tiff, file), tiff.pages
        paged = (len(pages), *pages[0].shape)
    declared = (sum(z for z, _, _ in shapes), *shapes[0][1:])
    if paged != declared:
        raise ConfigError(
            f"{file}: says it has [z, y, x] = {list(declared)} but its pages are {list(paged)}; "
            "write one section a page, or without compression"
        )
    return _alike(str(file), len(pages), lambda number: _page(pages, number, file))


def _shapes_ZYX(tiff: tifffile.TiffFile, file: Path) -> list[tuple[int, int, int]]:
    """Sections, rows and columns of each series, from its named axes; all axes but y and x count sections."""
    out = []
    for series in tiff.series:
        sizes = [(axis, n) for axis, n in zip(series.axes, series.shape, strict=True) if n > 1]
        found = [axis for axis, _ in sizes]
        others = set(found) - {"Y", "X"}
        if "S" in found or len(others) > 1 or found != sorted(found, key="YX".find):
            raise ConfigError(f"{file}: has axes {''.join(found)}; a stack of grey sections [y, x] is read")
        y, x = (dict(sizes).get(axis, 1) for axis in "YX")
        out.append((math.prod(n for axis, n in sizes if axis in others), y, x))
    if not out:
        raise ConfigError(f"{file}: holds no picture; a stack of grey sections [y, x] is read")
    return out


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    """Turn what a damaged TIFF raises into one LayerError that names the file."""
    try:
        yield
    except EmsegError:
        raise
    except UNREADABLE as error:
        raise LayerError(f"{file}: is not a readable TIFF ({error})") from None


def _alike(where: str, count: int, section: Callable[[int], np.ndarray]) -> Sections:
    first = section(0)
    if first.ndim != 2:
        raise ConfigError(f"{where}: sections have shape {list(first.shape)}; grey pictures [y, x] are read")
    return Sections(where, count, first.shape, first.dtype, section)


def _natural(file: Path) -> tuple[list[str | int], str]:
    parts = re.split(r"(\d+)", file.stem)
    return [int(part) if n % 2 else part for n, part in enumerate(parts)], file.name


def _page(pages: Any, number: int, file: Path) -> np.ndarray:
    with _readable(file):
        page = pages[number]
    require_bytes(f"{file}: a section", page.nbytes, SECTION_BYTES)
    try:
        return np.asarray(page.asarray())
    except UNREADABLE as error:
        raise LayerError(f"{file}: page {page.index} is unreadable ({error})") from None


def _picture(file: Path) -> np.ndarray:
    if file.suffix.lower() != ".png":
        with _readable(file), tifffile.TiffFile(file) as tiff:
            return _page(tiff.pages, 0, file)
    try:
        with PngImagePlugin.PngImageFile(file) as picture:
            if picture.mode not in GREY:
                raise ConfigError(f"{file}: is a {picture.mode} picture; grey ones are read")
            require_bytes(f"{file}: a section", 2 * picture.width * picture.height, SECTION_BYTES)
            return np.asarray(picture)
    except EmsegError:
        raise
    except UNREADABLE as error:
        raise LayerError(f"{file}: is not a readable PNG ({error})") from None
