"""Opening and closing views, and what happens without a browser."""

from __future__ import annotations

import socket
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from emseg.pipeline.view import find_chromium, open_viewer, serve_forever, ssh_hint, view_layers
from emseg.pipeline.viewer_layers import ViewLayer
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import ConfigError
from emseg.tasks.volume.info import LayerSpec
from emseg.tasks.volume.layer import create_layer


@pytest.fixture
def layers(tmp_path: Path) -> list[ViewLayer]:
    """One small image layer."""
    spec = LayerSpec("image", "uint8", 1, BBox((0, 0, 0), (32, 32, 32)), (8, 8, 8), (32, 32, 32))
    create_layer(f"file://{tmp_path}/image", spec)
    return view_layers([("image", str(tmp_path / "image"))])


def test_a_view_listens_on_loopback_until_it_is_closed(layers: list[ViewLayer]) -> None:
    """The link works while the view is open and not afterwards."""
    with open_viewer(layers) as view:
        assert view.url.startswith(f"http://127.0.0.1:{view.port}/v/")
        assert urllib.request.urlopen(view.url, timeout=10).status == 200
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(view.url, timeout=10)


def test_closing_one_view_leaves_another_open(layers: list[ViewLayer]) -> None:
    """Two views share a server; the data of a closed one is gone, the other's stays; closing twice is no error."""
    first, second = open_viewer(layers), open_viewer(layers)
    try:
        assert first.port == second.port
        assert first.token != second.token
        first.close()
        first.close()
        base = f"http://127.0.0.1:{second.port}/data"
        assert urllib.request.urlopen(f"{base}/{second.token}/image/info", timeout=10).status == 200
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{base}/{first.token}/image/info", timeout=10)
    finally:
        second.close()


def test_a_taken_port_is_one_line_and_nothing_is_left_open(layers: list[ViewLayer]) -> None:
    """A port in use is a configuration error; a view on a free port opens afterwards."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match=str(taken.getsockname()[1])):
            open_viewer(layers, port=taken.getsockname()[1])
    open_viewer(layers).close()


def test_serving_ends_when_the_view_is_closed(layers: list[ViewLayer]) -> None:
    """`serve_forever` returns once another thread closes the view."""
    view = open_viewer(layers)
    thread = threading.Thread(target=serve_forever, args=(view,))
    thread.start()
    assert thread.is_alive()
    view.close()
    thread.join(timeout=10)
    assert not thread.is_alive()


def test_the_ssh_hint_names_the_port(layers: list[ViewLayer]) -> None:
    """The command forwards the view's own port."""
    with open_viewer(layers) as view:
        assert ssh_hint(view, "lab") == f"ssh -N -L {view.port}:127.0.0.1:{view.port} lab"


def test_a_missing_browser_is_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong path, and a machine without Chromium, say what to install or set."""
    with pytest.raises(ConfigError, match="/no/such/browser"):
        find_chromium("/no/such/browser")
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("EMSEG_CHROMIUM", raising=False)
    with pytest.raises(ConfigError, match="apt-get install chromium"):
        find_chromium()
