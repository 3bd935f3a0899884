"""Deterministic compression of stored objects, and decompression under a byte budget."""

from __future__ import annotations

import zlib

import brotli  # type: ignore[import-untyped]
import deflate
import zstandard

from emseg.tasks.volume.errors import CorruptChunkError, LimitError

SUFFIX = {"gzip": ".gz", "zstd": ".zstd", "br": ".br", "": ""}
GZIP_LEVEL = 4
ZSTD_LEVEL = 1
FAR_WINDOW_LOG = 27  # more than the 8 MB that a browser takes (RFC 9659): for tables, which no browser reads


def compressed(content: bytes, encoding: str, far: bool = False) -> bytes:
    """Content as gzip (no time stamp), zstd (with checksum) or, for '', as it is: the same bytes every time.

    far: zstd looks for long matches over 128 MB, because columns of a table repeat each other megabytes apart.
    """
    if encoding == "gzip":
        return bytes(deflate.gzip_compress(content, GZIP_LEVEL))
    if encoding == "zstd":
        compressor = _far() if far else zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True)
        return compressor.compress(content)
    return content


def _far() -> zstandard.ZstdCompressor:
    parameters = zstandard.ZstdCompressionParameters.from_level(
        ZSTD_LEVEL, window_log=FAR_WINDOW_LOG, enable_ldm=True, write_checksum=True
    )
    return zstandard.ZstdCompressor(compression_params=parameters)


def decompressed(stored: bytes, encoding: str, budget_bytes: int, what: str) -> bytes:
    """Content of a stored object, never more than `budget_bytes`.

    Raises:
        CorruptChunkError: torn or altered content.
        LimitError: it would inflate past the budget.
    """
    try:
        if encoding in ("gzip", "x-gzip"):
            return _bounded(zlib.decompressobj(wbits=31), stored, budget_bytes, what)
        if encoding == "zstd":
            return _zstd(stored, budget_bytes, what)
        if encoding == "br":
            return _brotli(stored, budget_bytes, what)
    except (zlib.error, zstandard.ZstdError, brotli.error, EOFError, ValueError) as error:
        raise CorruptChunkError(f"{what}: cannot be decompressed as {encoding} ({error}); write it again") from None
    if encoding not in ("", "identity"):
        raise CorruptChunkError(f"{what}: content encoding {encoding!r} is unknown; use gzip, zstd, br or none")
    return _budgeted(stored, budget_bytes, what)


def _budgeted(content: bytes, budget_bytes: int, what: str) -> bytes:
    if len(content) > budget_bytes:
        raise LimitError(f"{what}: {len(content)} bytes, more than the {budget_bytes} expected; is it another layer?")
    return content


def _bounded(inflater: zlib._Decompress, stored: bytes, budget_bytes: int, what: str) -> bytes:
    content = inflater.decompress(stored, budget_bytes + 1)
    _budgeted(content, budget_bytes, what)
    if not inflater.eof:
        raise CorruptChunkError(f"{what}: the compressed stream ends early; write it again")
    return content


def _brotli(stored: bytes, budget_bytes: int, what: str) -> bytes:
    inflater = brotli.Decompressor()
    content = bytes(inflater.process(stored, output_buffer_limit=budget_bytes + 1))
    _budgeted(content, budget_bytes, what)
    if not inflater.is_finished():
        raise CorruptChunkError(f"{what}: the compressed stream ends early; write it again")
    return content


def _zstd(stored: bytes, budget_bytes: int, what: str) -> bytes:
    size = zstandard.frame_content_size(stored)
    if size > budget_bytes:
        raise LimitError(f"{what}: inflates to {size} bytes, more than the {budget_bytes} expected")
    return zstandard.ZstdDecompressor().decompress(stored, max_output_size=budget_bytes)
