"""A picture of a view, drawn by a headless Chromium that this machine has; needs `playwright`, not its browsers.

Neuroglancer's own `screenshot()` waits for ever when a source fails. Here the page is asked for errors while it draws,
failed chunks end the wait, and so does the clock.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emseg.pipeline.viewer_server import View
from emseg.tasks.volume.errors import ConfigError, LayerError, TransientError

if TYPE_CHECKING:
    from playwright.sync_api import Page

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
POLL_MS = 100
LOADED_JS = """() => {
  const layers = window.viewer ? window.viewer.layerManager.managedLayers : [];
  const sources = layers.flatMap(m => m.layer ? m.layer.dataSources.map(d => [m.name, d.loadState]) : []);
  return {
    layers: layers.length,
    loaded: sources.filter(([, state]) => state !== undefined).length,
    errors: sources.filter(([, s]) => s && s.error).map(([name, s]) => `${name}: ${s.error.message}`),
  };
}"""
PAINTED_JS = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"


def find_chromium(path: str | None = None) -> str:
    """Path of a Chromium: the one given, $EMSEG_CHROMIUM, or the first on the PATH.

    Raises:
        ConfigError: there is none.
    """
    wanted = path or os.environ.get("EMSEG_CHROMIUM")
    if wanted is not None:
        found = shutil.which(wanted)
        if found is None:
            raise ConfigError(f"{wanted!r} is no program that can be run; give the path of a Chromium or Chrome")
        return found
    on_path = next((p for p in map(shutil.which, BROWSERS) if p is not None), None)
    if on_path is None:
        raise ConfigError("no Chromium on the PATH: install one (apt-get install chromium), or set EMSEG_CHROMIUM")
    return on_path


def screenshot(
    view: View,
    path: str | Path,
    size: tuple[int, int] = (1600, 1000),
    timeout_s: float = 90.0,
    chromium: str | None = None,
    controls: bool = True,
) -> None:
    """Write a PNG of a view once everything visible is drawn.

    Args:
        view: an open view.
        path: the file to write.
        size: width and height in pixels.
        timeout_s: for the whole, the browser's start included.
        chromium: path of the browser; see `find_chromium`.
        controls: with Neuroglancer's bars and layer tabs, or the panels alone.

    Raises:
        ConfigError: no browser, or no playwright.
        LayerError: Neuroglancer cannot read a layer; its own sentence.
        TransientError: not drawn in time.
    """
    deadline = time.monotonic() + timeout_s
    with _panels(view, controls), _page(view, find_chromium(chromium), size, timeout_s) as page:
        _wait_loaded(view, page, deadline)
        _wait_drawn(view, page, deadline)
        page.evaluate(PAINTED_JS)
        page.screenshot(path=str(path), type="png")


@dataclass
class Drawing:
    """What the page reports while it draws."""

    done: bool = False
    failed: int = 0
    chunks: str = "nothing reported"

    def finished(self, reply: Any) -> None:
        """The page drew everything."""
        self.done = True

    def counted(self, statistics: Any) -> None:
        """The page is still loading chunks."""
        raw = statistics.to_json()
        self.failed = sum(int(s.get("visibleChunksFailed", 0)) for s in raw.get("chunkSources", []))
        total = raw.get("total", {})
        self.chunks = f"{total.get('visibleChunksGpuMemory', '?')} of {total.get('visibleChunksTotal', '?')} chunks"


def _wait_loaded(view: View, page: Page, deadline: float) -> None:
    """Until every layer has its sources."""
    wanted = len(view.viewer.state.layers)
    while True:
        found = _looked(page)
        if found["layers"] >= wanted and found["loaded"] >= wanted:
            return
        _tick(page, deadline, f"{found['loaded']} of {wanted} layers loaded")


def _wait_drawn(view: View, page: Page, deadline: float) -> None:
    """Until every visible chunk is on the screen."""
    drawing = Drawing()
    view.viewer.async_screenshot(drawing.finished, statistics_callback=drawing.counted)
    while not drawing.done:
        _looked(page)
        if drawing.failed:
            raise LayerError(
                f"view {view.url}: {drawing.failed} visible chunks, meshes or skeletons could not be loaded; "
                "deselect segments without a mesh, or look at the layers with check_layers"
            )
        _tick(page, deadline, drawing.chunks)


def _looked(page: Page) -> dict[str, Any]:
    """What the page says of its layers."""
    found: dict[str, Any] = page.evaluate(LOADED_JS)
    if found["errors"]:
        raise LayerError("Neuroglancer cannot show " + "; ".join(found["errors"]))
    return found


def _tick(page: Page, deadline: float, progress: str) -> None:
    if time.monotonic() > deadline:
        raise TransientError(f"the view was not drawn in time ({progress}): give it more time, or a smaller view")
    page.wait_for_timeout(POLL_MS)


@contextmanager
def _page(view: View, chromium: str, size: tuple[int, int], timeout_s: float) -> Iterator[Page]:
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        raise ConfigError("pictures need playwright: pip install playwright (its browsers are not needed)") from None
    with sync_playwright() as driver:
        try:
            browser = driver.chromium.launch(
                executable_path=chromium,
                args=list(FLAGS),
                chromium_sandbox=os.geteuid() != 0,
                timeout=timeout_s * 1000,
            )
        except Error as error:
            raise ConfigError(
                f"{chromium} does not start ({error.message.splitlines()[0]}); is it a Chromium?"
            ) from None
        try:
            page = browser.new_page(viewport={"width": size[0], "height": size[1]})
            page.goto(view.url, wait_until="domcontentloaded", timeout=timeout_s * 1000)
            yield page
        except Error as error:
            raise TransientError(f"the browser gave up ({error.message.splitlines()[0]}); try again") from None
        finally:
            browser.close()


@contextmanager
def _panels(view: View, controls: bool) -> Iterator[None]:
    """Without controls: the panels fill the page."""
    if controls:
        yield
        return
    before = view.viewer.config_state.state
    with view.viewer.config_state.txn() as config:
        config.show_ui_controls = False
        config.show_panel_borders = False
    try:
        yield
    finally:
        view.viewer.config_state.set_state(before)
