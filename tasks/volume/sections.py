"""Volumes that come as pictures: multi-page TIFF, or a folder of PNG or TIFF sections.

A compressed section is decoded whole, one at a time; memory is bounded by the box asked for and one section.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import PngImagePlugin

from emseg.tasks.volume.errors import ConfigError, LayerError
from emseg.tasks.volume.limits import require_bytes

SUFFIXES = (".png", ".tif", ".tiff")
SECTION_BYTES = 8 << 30  # one decoded section
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
    try:
        with tifffile.TiffFile(file) as tiff:
            axes = [[a for a, n in zip(s.axes, s.shape, strict=True) if n > 1] for s in tiff.series]
            plain = len(tiff.series) == 1 and tiff.series[0].dataoffset is not None
    except (tifffile.TiffFileError, OSError, ValueError) as error:
        raise LayerError(f"{file}: is not a readable TIFF ({error})") from None
    for found in axes:
        if "S" in found or len(set(found) - {"Y", "X"}) > 1:
            raise ConfigError(f"{file}: has axes {''.join(found)}; a stack of grey sections [y, x] is read")
    if not plain:
        return None
    mapped: np.ndarray = tifffile.memmap(file, mode="r")
    return mapped.reshape(-1, *mapped.shape[-2:])


def stack_sections(file: Path) -> Sections:
    """Pages of a TIFF."""
    pages = tifffile.TiffFile(file).pages
    return _alike(str(file), len(pages), lambda number: _page(pages[number], file))


def _alike(where: str, count: int, section: Callable[[int], np.ndarray]) -> Sections:
    first = section(0)
    if first.ndim != 2:
        raise ConfigError(f"{where}: sections have shape {list(first.shape)}; grey pictures [y, x] are read")
    return Sections(where, count, first.shape, first.dtype, section)


def _natural(file: Path) -> tuple[list[str | int], str]:
    parts = re.split(r"(\d+)", file.stem)
    return [int(part) if n % 2 else part for n, part in enumerate(parts)], file.name


def _page(page: Any, file: Path) -> np.ndarray:
    require_bytes(f"{file}: a section", page.nbytes, SECTION_BYTES)
    try:
        return np.asarray(page.asarray())
    except (tifffile.TiffFileError, OSError, ValueError) as error:
        raise LayerError(f"{file}: page {page.index} is unreadable ({error})") from None


def _picture(file: Path) -> np.ndarray:
    if file.suffix.lower() != ".png":
        try:
            with tifffile.TiffFile(file) as tiff:
                return _page(tiff.pages[0], file)
        except (tifffile.TiffFileError, OSError, IndexError) as error:
            raise LayerError(f"{file}: is not a readable TIFF ({error})") from None
    try:
        with PngImagePlugin.PngImageFile(file) as picture:
            if picture.mode not in GREY:
                raise ConfigError(f"{file}: is a {picture.mode} picture; grey ones are read")
            require_bytes(f"{file}: a section", 2 * picture.width * picture.height, SECTION_BYTES)
            return np.asarray(picture)
    except (OSError, SyntaxError) as error:
        raise LayerError(f"{file}: is not a readable PNG ({error})") from None
