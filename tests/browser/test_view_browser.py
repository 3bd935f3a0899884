"""A real Neuroglancer page in headless Chromium: what the screen shows is what the arrays hold, pixel by pixel."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from cloudvolume import CloudVolume
from PIL import Image

from emseg.pipeline.view import View, ViewLayer, find_chromium, open_viewer, screenshot, view_layers
from emseg.tasks.volume.errors import ConfigError, LayerError, TransientError

pytestmark = pytest.mark.browser

SIZE_VX = (128, 128, 64)
OFFSET_VX = (40, 72, 16)
SIDE_PX = 512
DATA_PX = slice(128, 384)  # the rest is ground, with the axes' letters in a corner
FIRST_ID = (1 << 60) + 1
TIMEOUT_S = 90.0


@pytest.fixture(scope="module", autouse=True)
def chromium() -> str:
    """Path of the browser; without one these tests skip, or fail where EMSEG_REQUIRE_CHROMIUM=1 forbids that."""
    try:
        return find_chromium()
    except ConfigError as error:
        if os.environ.get("EMSEG_REQUIRE_CHROMIUM") == "1":
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def labels_XYZ() -> npt.NDArray[np.uint64]:
    """uint64 [x, y, z]: cells around 12 random points, ids above 2^60."""
    points = np.random.default_rng(7).uniform(0, 1, (12, 3)) * SIZE_VX
    axes = np.meshgrid(*(np.arange(n) for n in SIZE_VX), indexing="ij", sparse=True)
    far = [sum((a - p) ** 2 for a, p in zip(axes, point, strict=True)) for point in points]
    return np.argmin(np.stack(far), axis=0).astype(np.uint64) + np.uint64(FIRST_ID)


def write(path: Path, array: npt.NDArray[np.generic], kind: str, encoding: str, compress: str) -> None:
    """A layer written by CloudVolume alone, [x, y, z] or [x, y, z, c], in storage chunks of 64 x 64 x 32."""
    info = CloudVolume.create_new_info(
        num_channels=1 if array.ndim == 3 else array.shape[3],
        layer_type=kind,
        data_type=str(array.dtype),
        encoding=encoding,
        resolution=(8, 8, 8),
        voxel_offset=OFFSET_VX,
        volume_size=SIZE_VX,
        chunk_size=(64, 64, 32),
    )
    volume = CloudVolume(f"file://{path}", info=info, compress=compress, progress=False)
    volume.commit_info()
    volume[:, :, :] = array if array.ndim == 4 else array[..., None]


@pytest.fixture
def layers(tmp_path: Path, labels_XYZ: npt.NDArray[np.uint64]) -> list[ViewLayer]:
    """Image (gzip) and segmentation (compressed_segmentation, brotli)."""
    noise = np.random.default_rng(8).integers(60, 200, SIZE_VX).astype(np.uint8)
    write(tmp_path / "image", noise, "image", "raw", "gzip")
    write(tmp_path / "segmentation", labels_XYZ, "segmentation", "compressed_segmentation", "br")
    return view_layers((name, str(tmp_path / name)) for name in ("image", "segmentation"))


@pytest.fixture
def bare(layers: list[ViewLayer]) -> Iterator[View]:
    """One xy panel, two pixels a voxel, nothing but data on it, no segment selected."""
    with open_viewer(layers, layout="xy", position=middle()) as view:
        with view.viewer.txn() as state:
            state.cross_section_scale = 0.5
            state.show_axis_lines = state.show_default_annotations = state.show_scale_bar = False
            state.layers["segmentation"].layer.ignore_null_visible_set = False
            state.layers["segmentation"].layer.not_selected_alpha = 0
        yield view


def middle() -> tuple[float, float, float]:
    """Position at the middle of the layer, in the middle of a section."""
    x, y, z = (o + n // 2 for o, n in zip(OFFSET_VX, SIZE_VX, strict=True))
    return (x, y, z + 0.5)


def shown(view: View, path: Path) -> npt.NDArray[np.int64]:
    """int64 [row, column, rgb] of the panel."""
    screenshot(view, path, (SIDE_PX, SIDE_PX), TIMEOUT_S, controls=False)
    return np.asarray(Image.open(path).convert("RGB")).astype(np.int64)


def section(labels_XYZ: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """uint64 [row, column]: the label under the middle of every pixel, 0 outside the layer."""
    voxel = [
        np.floor(middle()[a] + (np.arange(SIDE_PX) + 0.5 - SIDE_PX / 2) * 0.5).astype(int) - OFFSET_VX[a]
        for a in (0, 1)
    ]
    out = np.zeros((SIDE_PX, SIDE_PX), np.uint64)
    inside = [(v >= 0) & (v < n) for v, n in zip(voxel, SIZE_VX, strict=False)]
    plane = labels_XYZ[:, :, SIZE_VX[2] // 2]
    out[np.ix_(inside[1], inside[0])] = plane[np.ix_(voxel[0][inside[0]], voxel[1][inside[1]])].T
    return out


def select_in_red(view: View, label: int) -> None:
    """Draw one segment in opaque red."""
    with view.viewer.txn() as state:
        drawn = state.layers["segmentation"].layer
        drawn.segments = [label]
        drawn.segment_colors = {label: "#ff0000"}
        drawn.selected_alpha = 1


def overlap(pixels: npt.NDArray[np.int64], wanted: npt.NDArray[np.bool_]) -> float:
    """Intersection over union, where data lies, of the pure red pixels and those wanted."""
    red, wanted = (pixels == (255, 0, 0)).all(axis=2)[DATA_PX, DATA_PX], wanted[DATA_PX, DATA_PX]
    return float((red & wanted).sum() / max(1, (red | wanted).sum()))


def test_the_page_draws_the_image_and_exactly_the_selected_segment(
    bare: View, labels_XYZ: npt.NDArray[np.uint64], tmp_path: Path
) -> None:
    """Without a selection the panel is grey texture; then the red pixels are those of the label, all and only."""
    before = shown(bare, tmp_path / "before.png")
    assert np.ptp(before[DATA_PX, DATA_PX], axis=2).max() == 0
    assert before[200:300, 200:300].std() > 20
    wanted = section(labels_XYZ)
    ids, counts = np.unique(wanted[wanted > 0], return_counts=True)
    label = int(ids[counts.argmax()])
    select_in_red(bare, label)
    assert overlap(shown(bare, tmp_path / "after.png"), wanted == label) == 1.0


def test_swapped_chunks_are_seen(bare: View, labels_XYZ: npt.NDArray[np.uint64], tmp_path: Path) -> None:
    """Negative control: with its storage chunks swapped along x, the segment is not where the array has it."""
    folder = tmp_path / "segmentation" / "8_8_8"
    for one in sorted(folder.glob("40-104_*")):
        other = folder / one.name.replace("40-104", "104-168")
        one.rename(folder / "aside")
        other.rename(one)
        (folder / "aside").rename(other)
    wanted = section(labels_XYZ)
    label = int(wanted[SIDE_PX // 2, SIDE_PX // 2 - 60])
    select_in_red(bare, label)
    assert overlap(shown(bare, tmp_path / "swapped.png"), wanted == label) < 0.9


def test_a_chunk_not_written_yet_is_drawn_empty(bare: View, tmp_path: Path) -> None:
    """A running job: the page opens, absent chunks are black, the others are there."""
    for chunk in (tmp_path / "image" / "8_8_8").glob("40-104_*"):
        chunk.unlink()
    pixels = shown(bare, tmp_path / "partial.png")
    assert pixels[200:300, 150:250].max() == 0
    assert pixels[200:300, 270:370].min() > 0


def test_affinities_are_drawn_in_their_colours(tmp_path: Path) -> None:
    """Three channels of 0.9, 0.1 and 0.5 (float32) give that red, green and blue."""
    aff = np.empty((*SIZE_VX, 3), np.float32)
    aff[...] = (0.9, 0.1, 0.5)
    write(tmp_path / "affinities", aff, "image", "raw", "")
    with open_viewer(view_layers([("affinities", str(tmp_path / "affinities"))]), layout="xy") as view:
        with view.viewer.txn() as state:
            state.layers[0].layer.opacity = 1
            state.show_axis_lines = False
        red, green, blue = shown(view, tmp_path / "aff.png")[SIDE_PX // 2, SIDE_PX // 2]
    assert abs(red - 230) <= 1
    assert abs(green - 26) <= 1
    assert abs(blue - 128) <= 1


def test_a_source_that_neuroglancer_cannot_read_ends_the_wait(layers: list[ViewLayer], tmp_path: Path) -> None:
    """The picture is refused with Neuroglancer's own sentence, long before the time is up."""
    with open_viewer(layers) as view:
        (tmp_path / "segmentation" / "info").unlink()
        with pytest.raises(LayerError, match="segmentation"):
            screenshot(view, tmp_path / "never.png", timeout_s=TIMEOUT_S)
    assert not (tmp_path / "never.png").exists()


def test_a_torn_chunk_ends_the_wait(bare: View, tmp_path: Path) -> None:
    """A chunk that cannot be unpacked is an error of the picture, not an empty place in it."""
    for chunk in (tmp_path / "image" / "8_8_8").glob("40-104_*"):
        chunk.write_bytes(chunk.read_bytes()[:100])
    with pytest.raises(LayerError, match="could not be loaded"):
        shown(bare, tmp_path / "never.png")


def test_a_picture_that_takes_too_long_is_refused(layers: list[ViewLayer], tmp_path: Path) -> None:
    """The clock ends the wait too."""
    with open_viewer(layers) as view, pytest.raises((TransientError, ConfigError)):
        screenshot(view, tmp_path / "never.png", timeout_s=0.5)


def test_no_request_leaves_this_machine(layers: list[ViewLayer], chromium: str) -> None:
    """The whole page, client and data, comes from the view's own port."""
    from playwright.sync_api import sync_playwright

    with open_viewer(layers) as view, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, chromium_sandbox=os.geteuid() != 0)
        page = browser.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(view.url)
        page.wait_for_function("window.viewer && window.viewer.layerManager.managedLayers.length == 2")
        page.wait_for_timeout(3000)
        browser.close()
    own = f"http://127.0.0.1:{view.port}/"
    assert any("/data/" in url for url in asked)
    assert [url for url in asked if not url.startswith((own, "blob:", "data:"))] == []
