"""Serves the stored objects of named layers inside Neuroglancer's own web server: one port, one origin.

    /data/<token>/<layer>/<key>

The token cannot be guessed and dies with its view; nothing is listed; keys stay below their layer's root; the Host
header must name this server, so that no page of another site reaches it by rebinding a name. A compressed object goes
out as it is stored, with Content-Encoding, or decompressed where the client does not take that encoding.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tornado.web import Application, HTTPError, RequestHandler

from emseg.pipeline.viewer_http import RangeError, Reply, get_reply, head_reply
from emseg.pipeline.viewer_store import Store, open_store
from emseg.tasks.volume.errors import ConfigError, EmsegError, LimitError

READERS = 8  # objects read at once; a page keeps six connections to one host
DATA_PATH = r"/data/(?P<token>[^/]+)/(?P<layer>[^/]+)/(?P<key>.+)"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

How = Callable[[Store, str, Mapping[str, str]], Reply | None]

log = logging.getLogger(__name__)


@dataclass
class Exports:
    """What a server gives out: stores by token and layer name, and the host names it answers to."""

    hosts: frozenset[str] = LOOPBACK
    stores: dict[str, Mapping[str, Store]] = field(default_factory=dict)
    readers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(READERS, "emseg-view"))

    def add(self, urls: Mapping[str, str]) -> str:
        """Give out layers (name -> root URL); returns the new token."""
        token = secrets.token_hex(20)
        self.stores[token] = {name: open_store(url) for name, url in urls.items()}
        return token

    def drop(self, token: str) -> None:
        """Give the layers of a token out no longer."""
        self.stores.pop(token, None)

    def find(self, token: str, layer: str) -> Store | None:
        """Store of a layer, None if the token or the name is unknown."""
        known = [t for t in self.stores if secrets.compare_digest(t.encode(), token.encode())]
        return self.stores[known[0]].get(layer) if known else None


def attach(app: Application, hosts: Collection[str] = ()) -> Exports:
    """Add the data route to a tornado application; `hosts` are names it answers to beside loopback."""
    exports = Exports(LOOPBACK | {h.lower() for h in hosts})
    app.add_handlers(r".*", [(DATA_PATH, DataHandler, {"exports": exports}), (r"/favicon\.ico", NoIcon)])
    return exports


class NoIcon(RequestHandler):  # type: ignore[misc]
    """Answers the browser's question for an icon."""

    def get(self) -> None:
        """No icon."""
        self.set_status(204)


class DataHandler(RequestHandler):  # type: ignore[misc]
    """One object of one layer."""

    def initialize(self, exports: Exports) -> None:
        """Keep what is given out."""
        self.exports = exports

    def prepare(self) -> None:
        """Refuse a Host that is not ours."""
        if self.request.host_name.lower().strip("[]") not in self.exports.hosts:
            raise HTTPError(403, reason="Host not allowed")

    def set_default_headers(self) -> None:
        """Other pages that know the token may read; nothing is kept without asking again."""
        self.set_header("Access-Control-Allow-Origin", "*")
        self.set_header("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
        self.set_header("Access-Control-Allow-Headers", "Range")
        self.set_header("Access-Control-Expose-Headers", "Content-Range, Content-Length, Content-Encoding, ETag")
        self.set_header("Cache-Control", "no-cache")
        self.set_header("X-Content-Type-Options", "nosniff")

    def options(self, token: str, layer: str, key: str) -> None:
        """Preflight of a page of another origin."""
        self.set_status(204)

    async def head(self, token: str, layer: str, key: str) -> None:
        """Headers of an object."""
        await self._answer(head_reply, token, layer, key)

    async def get(self, token: str, layer: str, key: str) -> None:
        """An object, or a range of it."""
        await self._answer(get_reply, token, layer, key)

    async def _answer(self, how: How, token: str, layer: str, key: str) -> None:
        store = self.exports.find(token, layer)
        if store is None:
            raise HTTPError(404)
        loop = asyncio.get_running_loop()
        try:
            reply = await loop.run_in_executor(self.exports.readers, how, store, key, self.request.headers)
        except RangeError as error:
            self.set_status(416)
            self.set_header("Content-Range", f"bytes */{error.size_bytes}")
            return
        except ConfigError:
            raise HTTPError(403) from None
        except LimitError:
            raise HTTPError(413, reason="Ask for ranges") from None
        if reply is None:
            raise HTTPError(404)
        self._send(key, reply)

    def _send(self, key: str, reply: Reply) -> None:
        self.set_header("Content-Type", "application/json" if key.endswith("info") else "application/octet-stream")
        self.set_header("Content-Length", str(reply.length_bytes))
        self.set_header("Accept-Ranges", "bytes")
        self.set_header("Vary", "Accept-Encoding")
        if reply.encoding:
            self.set_header("Content-Encoding", reply.encoding)
        if reply.span is not None:
            self.set_status(206)
            self.set_header("Content-Range", f"bytes {reply.span[0]}-{reply.span[1] - 1}/{reply.size_bytes}")
        self.finish(reply.content)

    def compute_etag(self) -> str | None:
        """Tag of the body; a HEAD has none to take it from."""
        tag: str | None = super().compute_etag() if self.request.method == "GET" else None
        return tag

    def log_exception(self, *error: Any) -> None:
        """One line for what an object's store said; the rest as tornado does."""
        if isinstance(error[1], EmsegError):
            log.warning("%s", error[1])
        elif not isinstance(error[1], HTTPError):
            super().log_exception(*error)
