"""A tier: all tasks of one kind over one grid, and what each of them needs. A stage is one tier, or a tree of them.

Dependencies are boxes: a task needs every producer whose core meets the box that it reads. Both directions are
arithmetic on grids, so a plan of 30 million tasks never lists them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from emseg.tasks.volume.bbox import BBox, Vec, vec
from emseg.tasks.volume.errors import ConfigError
from emseg.tasks.volume.grid import Grid, key_of

TREE = ("merge", "rounds")  # stages of the way up


@dataclass(frozen=True)
class Need:
    """A consumer reads, of tier `tier`, its own core times `factor`, grown by `pad_low_vx` and `pad_high_vx`."""

    tier: str
    pad_low_vx: Vec = (0, 0, 0)
    pad_high_vx: Vec = (0, 0, 0)
    factor: Vec = (1, 1, 1)

    def read_box(self, core: BBox) -> BBox:
        """Box of the producer's voxels that a consumer with this core reads."""
        low = [a * f - p for a, f, p in zip(core.min, self.factor, self.pad_low_vx, strict=True)]
        high = [b * f + p for b, f, p in zip(core.max, self.factor, self.pad_high_vx, strict=True)]
        return BBox(vec(low), vec(high))

    def reach(self, produced: BBox) -> BBox:
        """Box that every consumer of a producer's core meets."""
        low = [(a - p) // f for a, f, p in zip(produced.min, self.factor, self.pad_high_vx, strict=True)]
        high = [-(-(b + p) // f) for b, f, p in zip(produced.max, self.factor, self.pad_low_vx, strict=True)]
        return BBox(vec(low), vec(high))


@dataclass(frozen=True)
class Tier:
    """Tasks of one kind over one grid. `final` tiers belong to stitching: they start when all chunks are done."""

    name: str
    kind: str
    grid: Grid
    fields: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[Need, ...] = ()
    task_class: str = "cpu"
    final: bool = False

    @property
    def stage(self) -> str:
        """Name of the stage that this tier belongs to."""
        return self.name.split("/", 1)[0]

    @property
    def chunked(self) -> bool:
        """Whether its tasks are chunks of a volume, neither of the tree's way up nor of what follows it."""
        return not self.final and self.stage not in TREE

    def key(self, index: Vec) -> str:
        """Key of the task at an index."""
        return f"{self.name}/{key_of(index)}"

    def core(self, key: str) -> BBox:
        """Core of the task with this key."""
        return self.grid.core(self.grid.index_of(key.rsplit("/", 1)[1]))

    def keys(self) -> Iterator[str]:
        """All keys, in Morton order."""
        return map(self.key, self.grid.indices())

    def keys_meeting(self, box: BBox) -> Iterator[str]:
        """Keys of tasks whose core meets a box."""
        return map(self.key, self.grid.indices_meeting(box))

    def consumers(self, need: Need, produced: BBox) -> Iterator[str]:
        """Keys of the tasks of this tier that, by `need`, read something of a produced core."""
        for index in self.grid.indices_meeting(need.reach(produced)):
            if need.read_box(self.grid.core(index)).meets(produced):
                yield self.key(index)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "name": self.name,
            "kind": self.kind,
            "bbox": self.grid.bbox.to_json(),
            "chunk_vx": self.grid.chunk_vx,
            **({"overlap_vx": self.grid.overlap_vx} if any(self.grid.overlap_vx) else {}),
            "fields": dict(self.fields),
            "needs": [vars(n) for n in self.needs],
            "task_class": self.task_class,
            "final": self.final,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Tier:
        """Tier of plain values."""
        needs = tuple(
            Need(n["tier"], vec(n["pad_low_vx"]), vec(n["pad_high_vx"]), vec(n["factor"])) for n in raw["needs"]
        )
        grid = Grid(BBox.of(*raw["bbox"]), vec(raw["chunk_vx"]), vec(raw.get("overlap_vx", (0, 0, 0))))
        return cls(raw["name"], raw["kind"], grid, raw["fields"], needs, raw["task_class"], raw["final"])


def require_whole(name: str, chunk_vx: Vec, storage_vx: Vec, size: Vec) -> None:
    """Refuse chunks of a stage that would share an object of its layer.

    Raises:
        ConfigError: they are no whole number of storage chunks.
    """
    if any(c % s and c < n for c, s, n in zip(chunk_vx, storage_vx, size, strict=True)):
        nearest = [max(1, round(c / s)) * s for c, s in zip(chunk_vx, storage_vx, strict=True)]
        raise ConfigError(
            f"stages.{name}.chunk_vx {list(chunk_vx)} is no whole number of storage chunks "
            f"(layers.chunk_vx {list(storage_vx)}); use {nearest}"
        )
