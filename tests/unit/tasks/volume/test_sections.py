"""Pictures as sections: their order, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from emseg.tasks.volume import sections
from emseg.tasks.volume.errors import ConfigError, LayerError, LimitError
from emseg.tasks.volume.sections import folder_sections, stack_array, stack_sections

ALL = slice(0, 2)
PLANE = np.arange(12, dtype=np.uint8).reshape(3, 4)
DEEP = PLANE.astype(np.uint16) * 5000


def test_numbers_in_names_count(tmp_path: Path) -> None:
    """Section s2 comes before s10, unlike in the order of letters."""
    for number in (1, 2, 10):
        Image.fromarray(np.full((2, 2), number, np.uint8)).save(tmp_path / f"s{number}.png")
    assert folder_sections(tmp_path).load(slice(0, 3), ALL, ALL)[0, :, 0, 0].tolist() == [1, 2, 10]


@pytest.mark.parametrize(("array", "suffix"), [(DEEP, "png"), (PLANE > 5, "png"), (PLANE / 2, "tif")])
def test_values_of_every_depth_are_kept(tmp_path: Path, array: np.ndarray, suffix: str) -> None:
    """16-bit, one-bit and float sections keep values and type."""
    if suffix == "png":
        Image.fromarray(array).save(tmp_path / "0.png")
    else:
        tifffile.imwrite(tmp_path / "0.tif", array)
    got = folder_sections(tmp_path).load(slice(0, 1), slice(0, 3), slice(0, 4))
    assert got.dtype == array.dtype
    assert np.array_equal(got[0, 0], array)


@pytest.mark.parametrize("mode", ["P", "RGB", "LA"])
def test_colours_are_refused(tmp_path: Path, mode: str) -> None:
    """Values of a palette or of colours are no grey levels."""
    Image.fromarray(PLANE).convert("RGB").convert(mode).save(tmp_path / "0.png")
    with pytest.raises(ConfigError, match=f"is a {mode} picture"):
        folder_sections(tmp_path)


def test_colours_in_a_stack_are_refused(tmp_path: Path) -> None:
    """The last axis of a colour TIFF is not taken for x."""
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((2, 5, 6, 3), np.uint8), photometric="rgb")
    with pytest.raises(ConfigError, match="grey sections"):
        stack_array(tmp_path / "a.tif")


def test_time_beside_depth_is_refused(tmp_path: Path) -> None:
    """A stack of stacks is not read as one."""
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((2, 3, 5, 6), np.uint8), imagej=True, metadata={"axes": "TZYX"})
    with pytest.raises(ConfigError, match="axes TZYX"):
        stack_array(tmp_path / "a.tif")


def test_compressed_and_mapped_stacks_agree(tmp_path: Path) -> None:
    """A stack reads the same in place as page by page."""
    array = np.random.default_rng(0).integers(0, 99, (5, 6, 7)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "plain.tif", array, photometric="minisblack")
    tifffile.imwrite(tmp_path / "packed.tif", array, photometric="minisblack", compression="zlib")
    assert np.array_equal(stack_array(tmp_path / "plain.tif"), array)
    assert stack_array(tmp_path / "packed.tif") is None
    got = stack_sections(tmp_path / "packed.tif").load(slice(1, 4), slice(2, 5), slice(0, 7))
    assert np.array_equal(got[0], array[1:4, 2:5])


def test_a_section_past_its_budget_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file that would unpack to more than allowed is refused."""
    Image.fromarray(np.zeros((100, 100), np.uint8)).save(tmp_path / "0.png")
    monkeypatch.setattr(sections, "SECTION_BYTES", 9_999)
    with pytest.raises(LimitError, match="section"):
        folder_sections(tmp_path)


@pytest.mark.parametrize("name", ["0.png", "0.tif"])
def test_broken_pictures_are_refused(tmp_path: Path, name: str) -> None:
    """A file that only looks like a picture is named."""
    (tmp_path / name).write_bytes(b"junk")
    with pytest.raises(LayerError, match=f"{name}: is not a readable"):
        folder_sections(tmp_path)
