"""Compression is deterministic and checked; decompression keeps to its budget."""

from __future__ import annotations

import gzip

import brotli
import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from emseg.tasks.volume.compression import compressed, decompressed
from emseg.tasks.volume.errors import CorruptChunkError, LimitError

ENCODINGS = ["gzip", "zstd"]
CONTENT = np.random.default_rng(0).integers(0, 4, 3000, np.uint8).tobytes()
BOMBS = {
    "gzip": gzip.compress(bytes(20 << 20)),
    "zstd": zstandard.compress(bytes(20 << 20)),
    "br": brotli.compress(bytes(20 << 20)),
    "": bytes(1 << 16),
}


@pytest.mark.parametrize("encoding", ["", *ENCODINGS])
@given(content=st.binary())
def test_content_comes_back(encoding, content):
    """What was compressed decompresses to itself, the empty content too."""
    assert decompressed(compressed(content, encoding), encoding, len(content), "a") == content


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_same_content_gives_the_same_bytes(encoding, monkeypatch):
    """No time stamp and no name enters the stored bytes."""
    first = compressed(CONTENT, encoding)
    monkeypatch.setattr("time.time", lambda: 0.0)
    assert compressed(CONTENT, encoding) == first


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(length=st.integers(0, 2**31))
def test_a_torn_object_is_refused(encoding, length):
    """No beginning of a stored object passes for the whole, the empty one included."""
    stored = compressed(CONTENT, encoding)
    with pytest.raises(CorruptChunkError, match="key-of-object"):
        decompressed(stored[: length % len(stored)], encoding, len(CONTENT), "key-of-object")


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(place=st.integers(0, 2**31), bit=st.integers(0, 7))
def test_a_flipped_bit_never_alters_content(encoding, place, bit):
    """A flipped bit is refused, unless it lies in a part of the header that says nothing of the content."""
    stored = bytearray(compressed(CONTENT, encoding))
    stored[place % len(stored)] ^= 1 << bit
    try:
        out = decompressed(bytes(stored), encoding, len(CONTENT), "a")
    except (CorruptChunkError, LimitError):
        return
    assert out == CONTENT


def test_brotli_of_others_is_read():
    """Brotli, which emseg never writes, is read, and refused when torn."""
    stored = brotli.compress(CONTENT)
    assert decompressed(stored, "br", len(CONTENT), "a") == CONTENT
    for torn in (b"", stored[:-1], b"\xff" * 9):
        with pytest.raises(CorruptChunkError, match="key-of-object"):
            decompressed(torn, "br", len(CONTENT), "key-of-object")


@pytest.mark.parametrize("encoding", BOMBS)
def test_a_bomb_is_refused(encoding):
    """Content beyond the budget is refused by a message with both numbers' owner."""
    with pytest.raises(LimitError, match="key-of-object"):
        decompressed(BOMBS[encoding], encoding, 1000, "key-of-object")


def test_an_unknown_encoding_is_refused():
    """A content encoding that emseg does not know is named."""
    with pytest.raises(CorruptChunkError, match="'lzma' is unknown"):
        decompressed(b"", "lzma", 10, "a")


def test_a_browser_can_read_what_a_layer_stores():
    """Frames of layers keep to the window of 8 MB that a browser allows."""
    stored = compressed(np.random.default_rng(0).integers(0, 9, 20 << 20, np.uint8).tobytes(), "zstd")
    assert zstandard.get_frame_parameters(stored).window_size <= 8 << 20


def test_a_column_that_stands_twice_costs_little_more_than_once():
    """Equal content is found megabytes back, and a decoder with default limits reads the frame."""
    column = np.random.default_rng(0).integers(0, 256, 6 << 20, np.uint8).tobytes()
    stored = compressed(column + column, "zstd", far=True)
    assert len(stored) < 1.05 * len(column)
    assert zstandard.ZstdDecompressor().decompress(stored) == column + column
