"""Budgets for what comes from outside: checked before anything is allocated."""

from __future__ import annotations

import math
from collections.abc import Sequence

from emseg.tasks.volume.errors import LimitError

INFO_BYTES = 4 << 20  # an info file is text; a huge one is an attack or an accident
SMALL_OBJECT_BYTES = 16 << 20  # plan, receipt, levels
ARRAY_BYTES = 64 << 30  # one array of one task
NODE_BYTES = 16 << 30  # memory of one node of the merge tree; tables are a part of it
PARTITIONS = 256  # of the rounds above the tree: each reads a small object of all, in every round
TABLE_BYTES = 16 << 30  # one decompressed table
CHUNK_SLACK_BYTES = 1 << 16  # codec headers beside the voxels of a storage chunk


def stored_bytes(budget_bytes: int) -> int:
    """Most bytes that content of `budget_bytes` is stored in: what cannot be compressed grows a little."""
    return budget_bytes + (budget_bytes >> 6) + CHUNK_SLACK_BYTES


def require_bytes(what: str, wanted_bytes: int, budget_bytes: int) -> None:
    """Refuse what would pass its budget."""
    if wanted_bytes > budget_bytes:
        raise LimitError(f"{what} needs {wanted_bytes} bytes, more than the {budget_bytes} allowed; use smaller chunks")


def array_bytes(shape: Sequence[int], itemsize: int, what: str = "array") -> int:
    """Bytes of an array, refused above the budget of one task."""
    wanted = math.prod(shape) * itemsize
    require_bytes(what, wanted, ARRAY_BYTES)
    return wanted
