"""What partitions tell each other between two rounds.

A vertex is a cluster, called by the handle under which it lives; a fragment's handle has bit 63 set, so that both share
one space. Every record is addressed: `at` is a vertex, and goes to the partition that owns it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np

from emseg.tasks.arrays.bundle import Bundle, joined, rows_of
from emseg.tasks.arrays.columns import I64, U16, U32, U64, Columns
from emseg.tasks.arrays.hashing import MIX

FRAGMENT = np.uint64(1 << 63)


@dataclass(frozen=True)
class Exported(Columns):
    """Handles that children sent up, and the number of the child."""

    noun: ClassVar[str] = "exported handles"

    at: Annotated[U64, "row"]
    child: Annotated[U32, "row"]


@dataclass(frozen=True)
class Edges(Columns):
    """Pairs of vertices that are one; at the end, a vertex and the least of its component."""

    noun: ClassVar[str] = "edges between vertices"

    at: Annotated[U64, "row"]
    to: Annotated[U64, "row"]


@dataclass(frozen=True)
class Notes(Columns):
    """To the vertex `at`: your neighbour `old` lives under `new` from now on."""

    noun: ClassVar[str] = "notes of new names"

    at: Annotated[U64, "row"]
    old: Annotated[U64, "row"]
    new: Annotated[U64, "row"]


@dataclass(frozen=True)
class Joiners(Columns):
    """What a vertex brings to the one that it joins: its least handle; its voxels, once they are one number."""

    noun: ClassVar[str] = "vertices that join"

    at: Annotated[U64, "row"]
    name: Annotated[U64, "row"]
    voxels: Annotated[U64, "row"]


@dataclass(frozen=True)
class PartList(Columns):
    """Voxels of a vertex with the key at which they joined, as in `Up`."""

    noun: ClassVar[str] = "parts of vertices"

    at: Annotated[U64, "row"]
    max: Annotated[U16, "row"]
    edge: Annotated[U64, "row"]
    voxels: Annotated[U64, "row"]


@dataclass(frozen=True)
class MaxHalves(Columns):
    """Rows of S, each at both of its ends."""

    noun: ClassVar[str] = "rows of the size rule"

    at: Annotated[U64, "row"]
    other: Annotated[U64, "row"]
    max: Annotated[U16, "row"]
    edge: Annotated[U64, "row"]


@dataclass(frozen=True)
class MeanHalves(Columns):
    """Rows of A, each at both of its ends."""

    noun: ClassVar[str] = "rows of the agglomeration"

    at: Annotated[U64, "row"]
    other: Annotated[U64, "row"]
    sum: Annotated[U64, "row"]
    count: Annotated[U32, "row"]
    edge: Annotated[U64, "row"]


@dataclass(frozen=True)
class Asks(Columns):
    """The vertex `by` asks the vertex `at`: to merge (with its least handle and voxels), or where it lives."""

    noun: ClassVar[str] = "questions of vertices"

    at: Annotated[U64, "row"]
    by: Annotated[U64, "row"]
    name: Annotated[U64, "row"]
    voxels: Annotated[U64, "row"]


@dataclass(frozen=True)
class Answers(Columns):
    """What the vertex `at` asked for."""

    noun: ClassVar[str] = "answers to vertices"

    at: Annotated[U64, "row"]
    value: Annotated[U64, "row"]


@dataclass(frozen=True)
class Mail(Bundle):
    """All that one partition tells another one between two rounds."""

    fragments: Exported
    clusters: Exported
    edges: Edges
    notes: Notes
    joiners: Joiners
    parts: PartList
    s: MaxHalves
    a: MeanHalves
    asks: Asks
    answers: Answers


def mail(**records: Any) -> Mail:
    """Mail with these records, the others empty."""
    return Mail(**{**{name: record.empty() for name, record in Mail.records().items()}, **records})


def owner(vertices: U64, partitions: int) -> I64:
    """int64: the partition that owns each vertex: a multiplicative hash (Knuth, TAOCP 3, 6.4), so that all are alike
    in size wherever the vertices lie."""
    return ((vertices * MIX >> np.uint64(32)) % np.uint64(partitions)).astype(np.int64)


def posted(letter: Mail, partitions: int) -> list[Mail]:
    """Mail for each partition."""
    sent = {name: _shared_out(getattr(letter, name), partitions) for name in Mail.records()}
    return [Mail(**{name: records[p] for name, records in sent.items()}) for p in range(partitions)]


def _shared_out(record: Any, partitions: int) -> list[Any]:
    """Rows of a record by the owner of their address."""
    if partitions == 1 or not len(record.at):
        return [record] * partitions
    owners = owner(record.at, partitions)
    return [rows_of(record, owners == p) for p in range(partitions)]


def gathered(letters: Sequence[Mail]) -> Mail:
    """All that came, in the order of the senders."""
    return Mail(**{name: joined([getattr(m, name) for m in letters]) for name in Mail.records()})
