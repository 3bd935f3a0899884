"""Several records of columns as one table, and records cut and put together by rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self, TypeVar, get_type_hints

import numpy as np

from emseg.tasks.arrays.columns import Columns

R = TypeVar("R", bound=Columns)
_KNOWN: dict[type, dict[str, type[Columns]]] = {}


def rows_of(record: R, rows: Any) -> R:
    """The rows of a record of one group that a mask or an index names."""
    return type(record)(**{name: array[rows] for name, array in record.columns().items()})


def count_of(record: Columns) -> int:
    """Number of rows of a record of one group."""
    first: np.ndarray = vars(record)[next(iter(vars(record)))]
    return len(first)


def joined(records: Sequence[R]) -> R:
    """The rows of at least one record, one behind the other; of one group, or without a row in the first if in any."""
    full = [record for record in records if count_of(record)] or records[:1]
    if len(full) == 1:
        return full[0]
    columns = [record.columns() for record in full]
    return type(records[0])(**{name: np.concatenate([c[name] for c in columns]) for name in columns[0]})


@dataclass(frozen=True)
class Bundle:
    """Base of records whose fields are all records of columns; a column is stored as `<field>.<column>`."""

    @classmethod
    def records(cls) -> dict[str, type[Columns]]:
        """Name -> class of every field."""
        if cls not in _KNOWN:
            hints = get_type_hints(cls)
            _KNOWN[cls] = {field.name: hints[field.name] for field in fields(cls)}
        return _KNOWN[cls]

    def columns(self) -> dict[str, np.ndarray]:
        """Stored name -> array."""
        return {
            f"{name}.{column}": array
            for name in self.records()
            for column, array in getattr(self, name).columns().items()
        }

    @classmethod
    def of(cls, table: Mapping[str, np.ndarray]) -> Self:
        """Bundle from columns as `columns` names them.

        Raises:
            CorruptChunkError: a column is absent, of another dtype or another shape.
        """
        return cls(**{name: record.of(_stripped(table, name + ".")) for name, record in cls.records().items()})

    @classmethod
    def empty(cls) -> Self:
        """Bundle without a row."""
        return cls(**{name: record.empty() for name, record in cls.records().items()})

    def __bool__(self) -> bool:
        return any(array.size for array in self.columns().values())


def _stripped(table: Mapping[str, np.ndarray], start: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(start): array for name, array in table.items() if name.startswith(start)}
