"""Storage chunks decode to what was encoded; damaged ones are refused, never guessed and never fatal."""

from __future__ import annotations

import struct

import crackle
import numpy as np
import pytest
from cloudvolume import chunks
from hypothesis import given
from hypothesis import strategies as st

from emseg.tasks.volume.codec import content_bytes, decoded
from emseg.tasks.volume.errors import CorruptChunkError, LayerError

BLOCK = (8, 8, 8)
SHAPE = (13, 9, 20, 1)


def labels(kinds: int, dtype: str, seed: int = 0) -> np.ndarray:
    """Fortran-order labels [x, y, z, 1] of so many kinds."""
    rng = np.random.default_rng(seed)
    return np.asfortranarray(rng.integers(0, 2**32, kinds).astype(dtype)[rng.integers(0, kinds, SHAPE)])


def encoded(array: np.ndarray, encoding: str) -> bytes:
    return bytes(chunks.encode(array, encoding, block_size=BLOCK))


@pytest.mark.parametrize("dtype", ["uint32", "uint64"])
@pytest.mark.parametrize("kinds", [1, 2, 3, 16, 17, 300])
def test_labels_survive_compressed_segmentation(dtype, kinds):
    """Labels with tables of every width decode to themselves: no sound file is refused."""
    array = labels(kinds, dtype)
    out_CZYX = decoded(
        encoded(array, "compressed_segmentation"), "compressed_segmentation", SHAPE, array.dtype, BLOCK, "a"
    )
    assert np.array_equal(out_CZYX, array.T)


@given(st.binary(max_size=4000))
def test_random_bytes_are_no_labels(content):
    """Bytes that nobody encoded are refused, and do not end the process."""
    with pytest.raises(CorruptChunkError, match="key-of-chunk"):
        decoded(content, "compressed_segmentation", (64, 64, 64, 1), np.dtype("uint32"), BLOCK, "key-of-chunk")


@given(st.integers(0, 2**31), st.integers(0, 7))
def test_a_flipped_bit_never_reads_outside(place, bit):
    """Labels with a flipped bit are refused or decode to the chunk's shape."""
    content = bytearray(encoded(labels(40, "uint64"), "compressed_segmentation"))
    content[place % len(content)] ^= 1 << bit
    try:
        out_CZYX = decoded(bytes(content), "compressed_segmentation", SHAPE, np.dtype("uint64"), BLOCK, "a")
    except CorruptChunkError:
        return
    assert out_CZYX.shape == SHAPE[::-1]


@given(st.integers(0, 2**31))
def test_shortened_labels_are_refused(length):
    """No beginning of a file of labels passes for the whole."""
    content = encoded(labels(40, "uint32"), "compressed_segmentation")
    with pytest.raises(CorruptChunkError):
        decoded(content[: length % len(content)], "compressed_segmentation", SHAPE, np.dtype("uint32"), BLOCK, "a")


@pytest.mark.parametrize("encoding", ["raw", "png", "jpeg", "compressed_segmentation", "crackle"])
@pytest.mark.parametrize("content", [b"", b"\0", b"garbage" * 9])
def test_what_no_codec_reads_is_refused_by_name(encoding, content):
    """Each codec's own exceptions become one error that names the object and the encoding."""
    dtype = np.dtype("uint8" if encoding in ("png", "jpeg", "raw") else "uint32")
    with pytest.raises(CorruptChunkError, match=f"key-of-chunk: cannot be decoded as {encoding}"):
        decoded(content, encoding, SHAPE, dtype, BLOCK, "key-of-chunk")


def test_an_image_bomb_is_refused_before_it_is_inflated():
    """A PNG whose header promises more pixels than the chunk holds is refused by its header."""
    header = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBBI", 13, b"IHDR", 1 << 17, 1 << 17, 8, 0, 0, 0, 0, 0)
    with pytest.raises(CorruptChunkError, match="131072 x 131072 pixels"):
        decoded(header, "png", SHAPE, np.dtype("uint8"), BLOCK, "a")


@pytest.mark.parametrize("encoding", ["crackle", "compresso"])
def test_labels_whose_header_promises_another_shape_are_refused(encoding):
    """A sound file of another shape, however few bytes it has, is refused by its header."""
    pytest.importorskip(encoding)
    array = labels(3, "uint32")
    content = encoded(array, encoding)
    assert np.array_equal(decoded(content, encoding, SHAPE, array.dtype, BLOCK, "a"), array.T)
    with pytest.raises(CorruptChunkError, match=r"header says \[13, 9, 20\] voxels where \[9, 13, 20\]"):
        decoded(content, encoding, (9, 13, 20, 1), array.dtype, BLOCK, "a")


def test_a_label_bomb_is_refused_before_it_is_inflated():
    """A crackle file of some bytes whose header says 20000 x 20000 x 30 voxels allocates nothing."""
    header = crackle.header(encoded(labels(3, "uint32"), "crackle"))
    header.sx = header.sy = 20000
    header.sz = 30
    with pytest.raises(CorruptChunkError, match="header says"):
        decoded(header.tobytes() + bytes(137), "crackle", SHAPE, np.dtype("uint32"), BLOCK, "a")


@pytest.mark.parametrize("encoding", ["fpzip", "kempressed", "zfpc", "jxl", "npz", "abc"])
def test_an_encoding_whose_header_cannot_be_asked_is_not_read(encoding):
    """Such an encoding is refused with those that are read."""
    with pytest.raises(LayerError, match=f"a: encoding '{encoding}' is not read.*raw, png, jpeg"):
        decoded(b"content", encoding, SHAPE, np.dtype("float32"), BLOCK, "a")


def test_a_codec_that_runs_out_of_memory_names_the_object(monkeypatch):
    """What a hostile file makes a codec raise never ends in a traceback."""
    for error in (MemoryError("std::bad_alloc"), OverflowError("too large")):
        monkeypatch.setattr(chunks, "decode", lambda *_, error=error: (_ for _ in ()).throw(error))
        with pytest.raises(CorruptChunkError, match=f"key-of-chunk: cannot be decoded as raw .{error}"):
            decoded(b"0", "raw", SHAPE, np.dtype("uint8"), BLOCK, "key-of-chunk")


def test_wider_labels_than_the_layer_s_are_refused():
    """64-bit labels in a chunk of a 32-bit layer would be cut."""
    content = encoded(labels(3, "uint64"), "crackle")
    with pytest.raises(CorruptChunkError, match="holds uint64 where uint32 is expected"):
        decoded(content, "crackle", SHAPE, np.dtype("uint32"), BLOCK, "a")


@given(
    st.sampled_from(["uint32", "uint64"]),
    st.tuples(*[st.integers(1, 40)] * 3),
    st.tuples(*[st.sampled_from([1, 2, 8, 16])] * 3),
    st.integers(1, 5000),
)
def test_no_sound_chunk_passes_the_budget(dtype, size, block, kinds):
    """Labels of any number, in chunks of any shape against blocks of any shape, fit the bytes that are allowed."""
    array = np.asfortranarray(np.random.default_rng(kinds).integers(0, kinds, (*size, 1)).astype(dtype))
    content = bytes(chunks.encode(array, "compressed_segmentation", block_size=block))
    slack = content_bytes("raw", (0, 0, 0, 1), 1, block)
    allowed = content_bytes("compressed_segmentation", array.shape, array.dtype.itemsize, block)
    assert len(content) <= allowed - slack + 4
