"""Decode the content of one storage chunk with CloudVolume's codecs, after checks that some of them lack.

A header that promises more than the chunk holds is refused before anything is allocated; an encoding whose header
cannot be asked first is not read.

The C++ decoder of compressed_segmentation follows offsets wherever they point: a damaged file gives wrong labels, or
ends the process. So every offset is followed here first. The format: per channel an offset; then per block two words
(table offset in 24 bits and bits per value in 8; offset of the values), values packed into words, tables of labels; all
offsets count 32-bit words from the channel's start.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import crackle  # type: ignore[import-untyped]
import numpy as np
import simplejpeg  # type: ignore[import-untyped]
from cloudvolume import chunks

from emseg.tasks.volume.bbox import Vec
from emseg.tasks.volume.errors import CorruptChunkError, LayerError
from emseg.tasks.volume.limits import CHUNK_SLACK_BYTES

UNDECODABLE: tuple[type[Exception], ...] = (
    *(ValueError, TypeError, LookupError, RuntimeError, OSError, zlib.error, crackle.FormatError),
    *(MemoryError, OverflowError),  # a header that asks for more than there is
    *((import_module("compresso").DecodeError,) if find_spec("compresso") else ()),  # a codec that may be absent
)
CHECKED = (
    "raw",
    "png",
    "jpeg",
    "compressed_segmentation",
    "crackle",
    *(("compresso",) if find_spec("compresso") else ()),
)
VALUE_BITS = (0, 1, 2, 4, 8, 16, 32)


def decoded(
    content: bytes, encoding: str, shape_XYZC: Sequence[int], dtype: np.dtype[Any], block_vx: Vec, what: str
) -> np.ndarray:
    """Array [c, z, y, x] of a storage chunk.

    Raises:
        CorruptChunkError: torn or altered content, named by `what`.
        LayerError: an encoding that is not read.
    """
    if encoding not in CHECKED:
        raise LayerError(
            f"{what}: encoding {encoding!r} is not read, as its size cannot be checked before it is decoded; "
            f"transfer the layer to one of {', '.join(CHECKED)}"
        )
    try:
        if not content:  # CloudVolume takes it for zeros
            raise ValueError("it is empty")
        if encoding == "compressed_segmentation":
            _check_segmentation(content, shape_XYZC, dtype, block_vx)
        _check_pixels(content, encoding, math.prod(shape_XYZC))
        _check_shape(content, encoding, tuple(shape_XYZC[:3]))
        array = np.asarray(chunks.decode(content, encoding, shape_XYZC, dtype, block_vx))
        if not np.can_cast(array.dtype, dtype):
            raise ValueError(f"it holds {array.dtype} where {dtype} is expected")
        out: np.ndarray = array.reshape(shape_XYZC, order="A").T
    except UNDECODABLE as error:
        raise CorruptChunkError(f"{what}: cannot be decoded as {encoding} ({error}); write it again") from None
    return out


def content_bytes(encoding: str, shape_XYZC: Sequence[int], itemsize: int, block_vx: Vec) -> int:
    """Most bytes that a sound storage chunk decompresses to.

    Blocks of compressed_segmentation are whole, also where the chunk is thinner: each has two words of header, a value
    of at most 32 bits a voxel, and a table of at most one label a voxel.
    """
    voxels = math.prod(shape_XYZC)
    if encoding == "compressed_segmentation":
        blocks = math.prod(-(-s // b) for s, b in zip(shape_XYZC[:3], block_vx, strict=True)) * shape_XYZC[3]
        return blocks * (8 + math.prod(block_vx) * (4 + itemsize)) + CHUNK_SLACK_BYTES
    return voxels * itemsize * 2 + CHUNK_SLACK_BYTES


def _check_shape(content: bytes, encoding: str, shape_XYZ: tuple[int, ...]) -> None:
    """Refuse labels whose header promises another shape than the chunk's, before they are inflated."""
    if encoding == "crackle":
        header = crackle.header(content)
        found = (header.sx, header.sy, header.sz)
    elif encoding == "compresso":
        fields = import_module("compresso").header(content)
        found = (fields["sx"], fields["sy"], fields["sz"])
    else:
        return
    if found != shape_XYZ:
        raise ValueError(f"its header says {list(found)} voxels where {list(shape_XYZ)} are expected")


def _check_pixels(content: bytes, encoding: str, expected: int) -> None:
    """Refuse an image whose header promises other numbers of pixels than the chunk holds, before it is inflated."""
    if encoding == "png":
        width, height = struct.unpack_from(">II", content.ljust(24, b"\0"), 16)
    elif encoding == "jpeg":
        height, width = simplejpeg.decode_jpeg_header(content)[:2]
    else:
        return
    if width * height > expected:
        raise ValueError(f"{width} x {height} pixels where at most {expected} are expected")


def _check_segmentation(content: bytes, shape_XYZC: Sequence[int], dtype: np.dtype[Any], block_vx: Vec) -> None:
    """Follow every offset of a compressed_segmentation file."""
    if len(content) % 4:
        raise ValueError("its length is no whole number of words")
    words = np.frombuffer(content, "<u4")
    blocks = math.prod(-(-s // b) for s, b in zip(shape_XYZC[:3], block_vx, strict=True))
    for channel in range(shape_XYZC[3]):
        start = int(words[channel])
        _check_channel(words[start:], blocks, math.prod(block_vx), dtype.itemsize // 4)


def _check_channel(words: np.ndarray, blocks: int, block_voxels: int, label_words: int) -> None:
    if len(words) < 2 * blocks:
        raise ValueError("its block headers end early")
    first, values = words[: 2 * blocks : 2].astype(np.int64), words[1 : 2 * blocks : 2].astype(np.int64)
    tables, bits = first & 0xFFFFFF, first >> 24
    if not np.isin(bits, VALUE_BITS).all():
        raise ValueError("a block has an unknown number of bits per value")
    ends = values + -(-bits * block_voxels // 32)
    if ((bits > 0) & (ends > len(words))).any():
        raise ValueError("the values of a block lie outside")
    greatest = (np.int64(1) << bits) - 1
    for i in np.flatnonzero(tables + (greatest + 1) * label_words > len(words)):
        index = int(_unpacked(words[values[i] : ends[i]], int(bits[i])).max()) if bits[i] else 0
        if tables[i] + (index + 1) * label_words > len(words):
            raise ValueError("the table of a block lies outside")


def _unpacked(words: np.ndarray, bits: int) -> np.ndarray:
    shifts = np.arange(0, 32, bits, dtype=np.uint32)
    out: np.ndarray = words[:, None] >> shifts & np.uint32((1 << bits) - 1)
    return out
