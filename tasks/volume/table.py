"""Tables: named numpy columns in one small object (safetensors inside zstd; no pickle, same bytes every time)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from emseg.tasks.volume.errors import CorruptChunkError

Table = dict[str, np.ndarray]


def encode_table(columns: Mapping[str, np.ndarray]) -> bytes:
    """Bytes of a table; bool columns become uint8."""
    plain = {
        name: np.ascontiguousarray(column.astype(np.uint8) if column.dtype == bool else column)
        for name, column in columns.items()
    }
    return bytes(save(plain))


def decode_table(content: bytes, what: str) -> Table:
    """Columns of a table.

    Raises:
        CorruptChunkError: not a table, or an altered one.
    """
    try:
        return dict(load(content))
    except (SafetensorError, ValueError, KeyError) as error:
        raise CorruptChunkError(f"{what}: is not a readable table ({error}); run its task again") from None
