"""Named columns: small records of arrays that are checked when they are made, also from stored bytes.

A class lists its columns once, with dtype, group and, if not 1, dimensions: `piece: Annotated[U64, "piece"]`. Columns
of one group have one shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple, Self, get_args, get_type_hints

import numpy as np
import numpy.typing as npt

from emseg.tasks.volume.errors import CorruptChunkError

U8 = npt.NDArray[np.uint8]
U16 = npt.NDArray[np.uint16]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]


class Column(NamedTuple):
    """What a column must be."""

    dtype: np.dtype[Any]
    group: str
    ndim: int


_KNOWN: dict[type, dict[str, Column]] = {}
_EMPTY: dict[type, Any] = {}


def columns_of(record: type[Columns]) -> dict[str, Column]:
    """Name -> what the annotations of a record class say of it."""
    if record not in _KNOWN:
        hints = get_type_hints(record, include_extras=True)
        _KNOWN[record] = {field.name: _column(hints[field.name]) for field in fields(record)}
    return _KNOWN[record]


def _column(hint: Any) -> Column:
    array, group, *ndim = get_args(hint)
    scalar = get_args(get_args(array)[1])[0]
    return Column(np.dtype(scalar), group, ndim[0] if ndim else 1)


@dataclass(frozen=True)
class Columns:
    """Base of records whose fields are all columns."""

    noun: ClassVar[str] = "table"

    def __post_init__(self) -> None:
        shapes: dict[str, tuple[int, ...]] = {}
        for name, need in columns_of(type(self)).items():
            array: np.ndarray = getattr(self, name)
            shape = shapes.setdefault(need.group, array.shape)
            if array.dtype != need.dtype or array.ndim != need.ndim or array.shape != shape:
                raise CorruptChunkError(
                    f"{self.noun}, column {name}: {array.dtype} {array.shape}, expected {need.dtype} in {need.ndim} "
                    f"dimensions, shaped as group {need.group} {shape}; run its task again"
                )

    def columns(self) -> dict[str, np.ndarray]:
        """Name -> array."""
        return {name: getattr(self, name) for name in columns_of(type(self))}

    @classmethod
    def of(cls, table: Mapping[str, np.ndarray]) -> Self:
        """Record from columns as `columns` names them; other columns are left alone.

        Raises:
            CorruptChunkError: a column is absent, of another dtype or another shape.
        """
        absent = [name for name in columns_of(cls) if name not in table]
        if absent:
            raise CorruptChunkError(f"{cls.noun}: column {absent[0]} is absent; run its task again")
        return cls(**{name: table[name] for name in columns_of(cls)})

    @classmethod
    def empty(cls) -> Self:
        """Record without a row: always the same one, as there is nothing in it to change."""
        if cls not in _EMPTY:
            known = columns_of(cls).items()
            _EMPTY[cls] = cls(**{name: np.zeros((0,) * need.ndim, need.dtype) for name, need in known})
        found: Self = _EMPTY[cls]
        return found
