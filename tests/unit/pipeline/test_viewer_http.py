"""Byte ranges and content encodings, without a server."""

from __future__ import annotations

import pytest

from emseg.pipeline.viewer_http import RangeError, accepts, parse_range


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=2-4", (2, 5)),
        ("bytes=7-", (7, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-99", (0, 10)),
        ("bytes=8-99", (8, 10)),
        ("bytes=0-1,4-5", None),
        ("bytes=5-2", None),
        ("bytes=-", None),
        ("pages=1-2", None),
    ],
)
def test_a_range_is_cut_to_the_object(header: str, span: tuple[int, int] | None) -> None:
    """Every form of one range gives first byte and one past the last of a 10-byte object; others mean the whole."""
    assert parse_range(header, 10) == span


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-20", "bytes=-0"])
def test_a_range_outside_the_object_is_an_error(header: str) -> None:
    """A range that holds no byte of the object is refused and names the object's size."""
    with pytest.raises(RangeError) as caught:
        parse_range(header, 10)
    assert caught.value.size_bytes == 10


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("gzip, deflate, br", True),
        ("GZIP;q=0.5", True),
        ("br, *;q=0.1", True),
        ("*", True),
        ("br", False),
        ("gzip;q=0, *", False),
        ("gzip;q=oops", False),
        ("", False),
        (None, False),
    ],
)
def test_gzip_is_sent_only_where_it_is_accepted(header: str | None, taken: bool) -> None:
    """Accept-Encoding is read with weights and the star."""
    assert accepts("gzip", header) is taken
