"""What a task is, and its wire form: canonical JSON of kind, fields and plan hash. Never pickle.

A task is a frozen dataclass, declared once; JSON and plan derive from its fields. It draws no random number, reads no
clock and touches only what its plan lists, so two executions write the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Self, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError

from emseg.tasks.context import Context
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import MessageError


@dataclass(frozen=True)
class Task(ABC):
    """One chunk of one stage.

    Attributes:
        kind: name on the wire; `version` grows whenever the bytes that this kind writes may change.
        key: stable name in the run, `<stage>/x_y_z` or `<stage>/L<level>/x_y_z`.
        core: voxels that the task owns, at the mip of its stage.
    """

    kind: ClassVar[str]
    version: ClassVar[int] = 1
    __pydantic_config__ = ConfigDict(extra="forbid")

    key: str
    core: BBox

    @abstractmethod
    def execute(self, context: Context) -> None:
        """Read, compute, write the core."""

    def fields(self) -> dict[str, Any]:
        """Fields as plain JSON values."""
        return dict(_adapter(type(self)).dump_python(self, mode="json"))

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Self:
        """Task of plain values; unknown, missing or ill-typed fields are refused."""
        try:
            return cast(Self, _adapter(cls).validate_python(dict(fields)))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise MessageError(f"task {cls.kind}: field {place}: {first['msg']}") from None


@lru_cache
def _adapter(kind: type[Task]) -> TypeAdapter[Any]:
    """Building one costs a thousand times what using it does."""
    return TypeAdapter(kind)


def table_key(key: str) -> str:
    """Where the table of a task lies."""
    return f"tables/{key}"


def canonical_json(value: Any) -> bytes:
    """The one JSON text of a value: sorted keys, no blanks, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode()


def json_digest(value: Any) -> str:
    """sha256 of the canonical JSON of a value."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def fingerprint(task: Task, inputs: Mapping[str, str]) -> str:
    """What decides a task's bytes: kind, its code version, parameters and input digests; equal ones may be adopted."""
    return json_digest([task.kind, task.version, task.fields(), dict(inputs)])
