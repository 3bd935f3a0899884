"""Looking at layers in Neuroglancer: a page served from this process, a link to a hosted page, a picture, a check."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from types import FrameType

import neuroglancer

from emseg.pipeline.viewer_check import Finding, check_layers
from emseg.pipeline.viewer_layers import ViewLayer, is_run, run_layers, view_layers
from emseg.pipeline.viewer_screenshot import find_chromium, screenshot
from emseg.pipeline.viewer_server import View, open_viewer
from emseg.pipeline.viewer_state import viewer_state
from emseg.tasks.volume.errors import ConfigError

HOSTED = "https://neuroglancer-demo.appspot.com"

__all__ = [
    "Finding",
    "View",
    "ViewLayer",
    "check_layers",
    "find_chromium",
    "hosted_link",
    "is_run",
    "open_viewer",
    "run_layers",
    "screenshot",
    "serve_forever",
    "ssh_hint",
    "view_layers",
    "viewer_state",
]


def hosted_link(
    layers: Sequence[ViewLayer],
    host: str = HOSTED,
    position: Sequence[float] | None = None,
    segments: Sequence[int] = (),
    layout: str = "4panel",
) -> str:
    """Link to a hosted Neuroglancer that reads the buckets itself; they must allow public reads and that origin (CORS).

    Raises:
        ConfigError: a layer is on this machine's disk, where a hosted page cannot read.
    """
    for layer in layers:
        if layer.url.startswith("file://"):
            raise ConfigError(f"layer {layer.name} is on this machine ({layer.url}); open it without a hosted link")
    link: str = neuroglancer.to_url(viewer_state(layers, position, segments, layout), prefix=host)
    return link


def ssh_hint(view: View, machine: str) -> str:
    """Command that brings the page of a remote machine to the user's own."""
    return f"ssh -N -L {view.port}:127.0.0.1:{view.port} {machine}"


def serve_forever(view: View) -> None:
    """Keep a view open until Ctrl-C, SIGTERM or its `close()`; it is closed on return."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _leave) if main else None
    try:
        view.closed.wait()
    except KeyboardInterrupt:
        pass
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)
        view.close()


def _leave(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
