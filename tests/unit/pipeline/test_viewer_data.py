"""The data route of the viewer's server, asked over a socket like a browser asks."""

from __future__ import annotations

import gzip
import http.client
import json
from collections.abc import Iterator

import brotli
import pytest
import zstandard

from emseg.pipeline.viewer_layers import ViewLayer
from emseg.pipeline.viewer_server import View, open_viewer

PLAIN = bytes(range(256)) * 4
INFO = {
    "type": "image",
    "data_type": "uint8",
    "num_channels": 1,
    "scales": [
        {
            "key": "8_8_8",
            "size": [64, 64, 64],
            "voxel_offset": [0, 0, 0],
            "chunk_sizes": [[64, 64, 64]],
            "resolution": [8, 8, 8],
            "encoding": "raw",
        }
    ],
}


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> Iterator[View]:
    """An open view of one layer with an object in every compression, and a secret beside the layer."""
    root = tmp_path_factory.mktemp("data") / "layer"
    (root / "8_8_8").mkdir(parents=True)
    (root / "info").write_text(json.dumps(INFO))
    for name, content in (
        ("plain", PLAIN),
        ("zipped.gz", gzip.compress(PLAIN)),
        ("brown.br", brotli.compress(PLAIN)),
        ("zstd.zstd", zstandard.compress(PLAIN)),
        ("short.zst", zstandard.compress(PLAIN)),
        ("torn.gz", gzip.compress(PLAIN)[:-20]),
        ("77:0:fragment", PLAIN),
        (".hidden", PLAIN),
    ):
        (root / "8_8_8" / name).write_bytes(content)
    (root.parent / "secret").write_text("secret")
    (root / "8_8_8" / "leak").symlink_to(root.parent / "secret")
    with open_viewer([ViewLayer("em", f"file://{root}", INFO)]) as opened:
        yield opened


def ask(
    view: View, key: str, method: str = "GET", raw: str = "", **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    """One request; underscores in header names stand for dashes."""
    connection = http.client.HTTPConnection("127.0.0.1", view.port, timeout=10)
    try:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, raw or f"/data/{view.token}/em/{key}", headers=sent)
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def test_info_is_served_as_json_that_other_pages_may_read(view: View) -> None:
    """The info file comes whole, as JSON, with the CORS header."""
    response, body = ask(view, "info")
    assert response.status == 200
    assert json.loads(body) == INFO
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize(
    ("key", "encoding"), [("plain", None), ("zipped", "gzip"), ("brown", "br"), ("zstd", "zstd"), ("short", "zstd")]
)
def test_a_compressed_object_goes_out_as_it_is_stored(view: View, key: str, encoding: str | None) -> None:
    """The key without its suffix finds the object; Content-Encoding says how it is packed."""
    response, body = ask(view, f"8_8_8/{key}", Accept_Encoding="gzip, br, zstd")
    unpack = {"gzip": gzip.decompress, "br": brotli.decompress, "zstd": zstandard.decompress, None: bytes}
    assert response.headers["Content-Encoding"] == encoding
    assert unpack[encoding](body) == PLAIN


@pytest.mark.parametrize("key", ["zipped", "brown", "zstd", "short"])
def test_a_client_without_that_encoding_gets_plain_bytes(view: View, key: str) -> None:
    """Objects are decompressed for a client that does not accept their encoding."""
    response, body = ask(view, f"8_8_8/{key}", Accept_Encoding="identity")
    assert (response.headers["Content-Encoding"], body) == (None, PLAIN)


@pytest.mark.parametrize("key", ["plain", "zipped"])
@pytest.mark.parametrize(
    ("span", "start", "stop"), [("0-0", 0, 1), ("5-9", 5, 10), ("1020-", 1020, 1024), ("-4", 1020, 1024)]
)
def test_a_range_is_one_of_the_decoded_object(view: View, key: str, span: str, start: int, stop: int) -> None:
    """Ranges give 206, the right bytes and where they lie, also of an object that is stored compressed."""
    response, body = ask(view, f"8_8_8/{key}", Range=f"bytes={span}", Accept_Encoding="gzip")
    assert (response.status, body) == (206, PLAIN[start:stop])
    assert response.headers["Content-Range"] == f"bytes {start}-{stop - 1}/1024"
    assert response.headers["Content-Encoding"] is None


def test_a_range_past_the_end_is_416(view: View) -> None:
    """A range outside the object is refused, with the object's size."""
    response, _ = ask(view, "8_8_8/plain", Range="bytes=1024-")
    assert (response.status, response.headers["Content-Range"]) == (416, "bytes */1024")


@pytest.mark.parametrize(("key", "length"), [("plain", "1024"), ("zipped", "1024")])
def test_head_tells_the_length_and_sends_no_body(view: View, key: str, length: str) -> None:
    """HEAD answers with what a GET without compression would be long."""
    response, body = ask(view, f"8_8_8/{key}", method="HEAD")
    assert (response.status, response.headers["Content-Length"], body) == (200, length, b"")


def test_options_allows_ranges_from_other_origins(view: View) -> None:
    """A preflight request is answered with the allowed headers."""
    response, _ = ask(view, "info", method="OPTIONS")
    assert (response.status, response.headers["Access-Control-Allow-Headers"]) == (204, "Range")


def test_names_with_colons_are_served(view: View) -> None:
    """Mesh manifests have colons in their names."""
    assert ask(view, "8_8_8/77:0:fragment")[1] == PLAIN


@pytest.mark.parametrize("key", ["8_8_8/nothing", "nothing", "8_8_8", "8_8_8/"])
def test_an_absent_object_and_a_folder_are_not_found(view: View, key: str) -> None:
    """What is not there is 404, which a page draws empty; folders are not listed."""
    assert ask(view, key)[0].status in (403, 404)
    assert b"plain" not in ask(view, key)[1]


@pytest.mark.parametrize(
    "key",
    [
        "../secret",
        "%2e%2e/secret",
        "%2e%2e%2fsecret",
        "8_8_8/..%2f..%2fsecret",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "8_8_8/.hidden",
        "8_8_8/leak",
        "8_8_8/plain%00",
    ],
)
def test_nothing_outside_the_layer_is_served(view: View, key: str) -> None:
    """Dots, absolute names, hidden files, NUL and links that leave the layer are refused."""
    response, body = ask(view, key)
    assert response.status in (400, 403, 404)
    assert b"secret" not in body
    assert b"root:" not in body


def test_a_foreign_host_header_is_refused(view: View) -> None:
    """A page that rebinds its name to loopback gets nothing, even with the token."""
    assert ask(view, "info", Host=f"evil.example:{view.port}")[0].status == 403
    assert ask(view, "info", Host=f"localhost:{view.port}")[0].status == 200


def test_a_wrong_token_or_layer_is_not_found(view: View) -> None:
    """Without the token, or with another layer's name, there is nothing."""
    assert ask(view, "", raw=f"/data/{'0' * 40}/em/info")[0].status == 404
    assert ask(view, "", raw=f"/data/{view.token}/other/info")[0].status == 404
    assert ask(view, "", raw="/data/%C3%A9/em/info")[0].status in (400, 404)


def test_a_torn_object_is_an_error_not_an_empty_chunk(view: View) -> None:
    """An object that cannot be decompressed for a client gives 500, so that the page reports it."""
    assert ask(view, "8_8_8/torn")[0].status == 500


def test_the_page_and_the_data_share_one_port(view: View) -> None:
    """Neuroglancer's client comes from the installed package, on the same origin as the data."""
    response, body = ask(view, "", raw=view.url.split(str(view.port), 1)[1])
    assert (response.status, b"<script" in body) == (200, True)
