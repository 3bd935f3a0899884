"""A view that is open: Neuroglancer's own server in this process, with our layers behind a token."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import neuroglancer
from neuroglancer import server

from emseg.pipeline.viewer_data import LOOPBACK, Exports, attach
from emseg.pipeline.viewer_layers import ViewLayer
from emseg.pipeline.viewer_state import viewer_state
from emseg.tasks.volume.errors import ConfigError

LOCK = threading.Lock()
OPEN: dict[int, tuple[Any, Exports]] = {}  # server of this process by port; Neuroglancer keeps at most one


@dataclass
class View:
    """A page that lives as long as this process, or until it is closed.

    Attributes:
        url: the link to open.
        viewer: Neuroglancer's Python viewer; its transactions change the open page.
        port: where the server listens.
    """

    url: str
    viewer: neuroglancer.Viewer
    port: int
    exports: Exports
    token: str
    closed: threading.Event = field(default_factory=threading.Event)

    def close(self) -> None:
        """Give the layers out no longer; the last view to close stops the server."""
        if self.closed.is_set():
            return
        self.closed.set()
        with LOCK:
            self.exports.drop(self.token)
            if not self.exports.stores:
                OPEN.pop(self.port)
                server.stop()
                self.exports.readers.shutdown(wait=False, cancel_futures=True)

    def __enter__(self) -> View:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_viewer(
    layers: Sequence[ViewLayer],
    *,
    port: int = 0,
    bind: str = "127.0.0.1",
    position: Sequence[float] | None = None,
    segments: Sequence[int] = (),
    layout: str = "4panel",
) -> View:
    """Open a page that shows layers, data included, on one port of this machine; no request leaves it.

    Args:
        layers: as for `viewer_state`.
        port: 0 for any free one.
        bind: address to listen on; anything but loopback lets other machines in that know the link.
        position: x, y, z in voxels of the first layer.
        segments: ids to select.
        layout: a Neuroglancer panel layout, or `compare`.

    Raises:
        ConfigError: the port is taken, or bad layers, layout or ids.
    """
    viewer_state(layers, position, segments, layout)
    with LOCK:
        host, port, exports = _server(bind, port)
        token = exports.add({layer.name: layer.url for layer in layers})
        viewer = neuroglancer.Viewer(allow_credentials=False)
    prefix = f"http://{host}:{port}/data/{token}"
    viewer.set_state(viewer_state(layers, position, segments, layout, prefix))
    return View(f"http://{host}:{port}/v/{viewer.token}/", viewer, port, exports, token)


def _server(bind: str, port: int) -> tuple[str, int, Exports]:
    """Host, port and exports of this process's server, started if need be."""
    for running_port, (running, exports) in OPEN.items():
        if port not in (0, running_port) or bind != running._bind_address:
            raise ConfigError(
                f"this process already serves views on {running._bind_address}:{running_port}; close them first"
            )
        return _host(running), running_port, exports
    server.set_server_bind_address(bind, port)
    try:
        server.start()
    except (OSError, OverflowError) as error:
        raise ConfigError(f"cannot listen on {bind}:{port} ({error}); choose another port, or 0 for any") from None
    running = server.global_server
    exports = attach(running.app, {bind, _host(running)} - LOOPBACK)
    OPEN[running.port] = (running, exports)
    return _host(running), running.port, exports


def _host(running: Any) -> str:
    """Name under which a browser reaches the server."""
    host = str(running.regular_server_url).removeprefix("http://").rsplit(":", 1)[0]
    return f"[{host}]" if ":" in host else host
