"""Pictures as sections: their order, and what is refused."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from emseg.tasks.volume import sections
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import ConfigError, EmsegError, LayerError, LimitError
from emseg.tasks.volume.foreign import open_foreign
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


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("shape", [(10, 20, 1), (10, 1, 20), (1, 10, 20), (10, 1, 1)])
def test_a_stack_one_voxel_wide_is_never_transposed(tmp_path: Path, shape: tuple[int, ...], compression: str) -> None:
    """A flat stack is read with its own axes, or refused; never with others."""
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array, photometric="minisblack", compression=compression, metadata={"axes": "ZYX"})
    with tifffile.TiffFile(path) as tiff:
        pages = (len(tiff.pages), *tiff.pages[0].shape)
    if compression and pages != shape:
        with pytest.raises(ConfigError, match=re.escape(f"says it has [z, y, x] = {list(shape)}")):
            open_foreign(str(path))
        return
    volume = open_foreign(str(path))
    assert volume.shape_CZYX == (1, *shape)
    assert np.array_equal(volume.read(BBox.sized((0, 0, 0), volume.size))[0], array)


@pytest.mark.parametrize("axes", ["XYZ", "YZX", "ZXY"])
def test_axes_in_another_order_are_refused(tmp_path: Path, axes: str) -> None:
    """A stack that says its last axis is not x is not read as if it were."""
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 6, 7), np.uint8), metadata={"axes": axes})
    with pytest.raises(ConfigError, match=f"has axes {axes}"):
        stack_array(tmp_path / "a.tif")


@pytest.mark.parametrize(
    "content", [b"II*\0", b"II*\0\x08\0\0\0", b"II*\0\xff\xff\xff\x7f", b"MM\0*" + b"\xff" * 99, b""]
)
def test_the_head_of_a_stack_alone_is_refused(tmp_path: Path, content: bytes) -> None:
    """A TIFF that ends after its first bytes is named, as a stack and as a section."""
    path = tmp_path / "0.tif"
    path.write_bytes(content)
    for opened in (lambda: open_foreign(str(path)), lambda: folder_sections(tmp_path)):
        with pytest.raises((LayerError, ConfigError), match=r"0\.tif: (is not a readable TIFF|holds no picture)"):
            opened()


@given(st.integers(0, 10**6), st.integers(0, 255), st.booleans())
def test_a_damaged_stack_is_refused_or_read(place: int, value: int, cut: bool) -> None:
    """A byte altered, or the end cut off, gives sections or an error that names the file; never another exception."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sections, "SECTION_BYTES", 1 << 20)
        path = Path(folder) / "0.tif"
        array = np.random.default_rng(0).integers(0, 99, (3, 6, 7)).astype(np.uint16)
        tifffile.imwrite(path, array, photometric="minisblack", compression="zlib", bigtiff=False)
        content = bytearray(path.read_bytes())
        place %= len(content)
        content[place] = value
        path.write_bytes(content[:place] if cut else content)
        caught = ""
        try:
            volume = open_foreign(str(path))
            volume.read(BBox.sized((0, 0, 0), volume.size))
        except EmsegError as error:
            caught = str(error)
        assert not caught or "0.tif" in caught


def test_a_broken_page_is_said_once(tmp_path: Path) -> None:
    """The error of a section's page is not wrapped in another."""
    array = np.random.default_rng(0).integers(0, 99, (60, 70)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "0.tif", array, compression="zlib")
    content = bytearray((tmp_path / "0.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "0.tif") as tiff:
        start = tiff.pages[0].dataoffsets[0]
    content[start : start + 20] = b"\xff" * 20
    (tmp_path / "0.tif").write_bytes(content)
    with pytest.raises(LayerError, match=r"0\.tif: page 0 is unreadable") as caught:
        folder_sections(tmp_path)
    assert str(caught.value).count("0.tif") == 1
