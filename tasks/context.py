"""What a task may touch: the layers and the objects of its plan, with a record of what it read and wrote."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from emseg.tasks.volume.compression import decompressed
from emseg.tasks.volume.errors import CorruptChunkError, MessageError
from emseg.tasks.volume.layer import Layer, open_layer
from emseg.tasks.volume.limits import TABLE_BYTES
from emseg.tasks.volume.objects import Objects
from emseg.tasks.volume.table import Table, decode_table, encode_table


@dataclass(frozen=True)
class LayerRef:
    """A layer that a plan lists."""

    url: str
    mip: int = 0
    missing: str = "refuse"


@dataclass
class Record:
    """Digests of stored objects that a task read and wrote, seconds by phase, and figures worth keeping."""

    inputs: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)

    def read(self, name: str, digest: str) -> None:
        """Note an object that was read."""
        self.inputs[name] = digest

    def wrote(self, name: str, digest: str) -> None:
        """Note an object that was written."""
        self.outputs[name] = digest

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a phase."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


@dataclass
class Context:
    """One execution of one task: the plan's layers by name, and the run directory's objects.

    `base` is the run whose tree a derived run (re-threshold, sweep, audit) reads; None in a run of its own.
    """

    layers: Mapping[str, LayerRef]
    run: Objects
    device: str = "cpu"
    record: Record = field(default_factory=Record)
    read_only: frozenset[str] = frozenset()
    base: Objects | None = None
    _open: dict[tuple[str, int], Layer] = field(default_factory=dict)

    def url(self, name: str) -> str:
        """Where a layer of the plan is."""
        if name not in self.layers:
            raise MessageError(f"layer {name!r} is not one of the plan's: {', '.join(sorted(self.layers))}")
        return self.layers[name].url

    def layer(self, name: str, mip: int | None = None) -> Layer:
        """A layer of the plan, at its own mip or another."""
        url, ref = self.url(name), self.layers[name]
        wanted = ref.mip if mip is None else mip
        if (name, wanted) not in self._open:
            self._open[name, wanted] = open_layer(
                url,
                wanted,
                name=f"layers/{name}",
                missing=ref.missing,
                record=self.record,
                writable=name not in self.read_only,
            )
        return self._open[name, wanted]

    def get_object(self, key: str, budget_bytes: int = TABLE_BYTES) -> bytes:
        """Content of an object of the run directory that must be there."""
        return self._content(self.run, key, budget_bytes)

    def get_table(self, key: str) -> Table:
        """Columns of a table of the run directory."""
        return decode_table(self.get_object(key), self.run.where(key))

    def tree_table(self, key: str) -> Table:
        """Columns of a table of the merge tree: the base's, in a derived run."""
        run = self.base or self.run
        return decode_table(self._content(run, key, TABLE_BYTES), run.where(key))

    def _content(self, run: Objects, key: str, budget_bytes: int) -> bytes:
        stored = run.get_stored(key, budget_bytes)
        if stored is None:
            raise CorruptChunkError(f"{run.where(key)} is missing: run the task that writes it again")
        self.record.read(key, stored.digest)
        return decompressed(stored.content, stored.encoding, budget_bytes, run.where(key))

    def put_table(self, key: str, columns: Mapping[str, np.ndarray]) -> None:
        """Write a table into the run directory."""
        self.record.wrote(key, self.run.put(key, encode_table(columns), "zstd", far=True))
