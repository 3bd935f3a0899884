"""The tasks of a run over the phantom, each in a process of its own, with what it took: for `scale.py`.

The plan, the tasks and their stored tables are those of a run that starts from affinities. Two layers differ: the
affinity layer is made as it is read and never stored; final labels are counted, not stored. What each task took is
kept beside the run, so that a rig that was stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np

from emseg.pipeline.config import RunConfig
from emseg.pipeline.plan import Plan
from emseg.pipeline.planner import plan_run
from emseg.tasks.arrays import leaf as leaf_module
from emseg.tasks.arrays import node as node_module
from emseg.tasks.arrays.phantom import PhantomParams, phantom_affinities
from emseg.tasks.arrays.settle import Clusters, Settled, settle
from emseg.tasks.context import Context
from emseg.tasks.memory import peak_bytes, reset_peak
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.compression import SUFFIX
from emseg.tasks.volume.info import LayerSpec
from emseg.tasks.volume.layer import Layer, create_layer
from emseg.tasks.volume.objects import Objects

RULES = {"t_low": "0.02", "t_high": "0.98", "min_size_vx": 200, "threshold": "0.4"}
TISSUE = PhantomParams.everything()
WORKERS = 2
STORAGE_VX = 160  # its divisors are the sides of storage chunks


@dataclass(frozen=True)
class Rig:
    """A run over a cube of the phantom: where, its plan, and whether digests of final labels are kept."""

    run: Objects
    plan: Plan
    digests: bool

    @property
    def folder(self) -> Path:
        """The run directory."""
        return Path(self.run.url.removeprefix("file://"))

    def taken_path(self, key: str) -> Path:
        """File of what a task took."""
        return self.folder.parent / "taken" / (key.replace("/", "-") + ".json")


@dataclass(frozen=True)
class Taken:
    """What one task took. Seconds are without those in which the phantom was made.

    read, written: stored bytes by group of objects; rows: of contacts that came in, and that went up, by phase.
    """

    key: str
    voxels: int
    cpu_s: float
    wall_s: float
    made_cpu_s: float
    made_wall_s: float
    peak_bytes: int
    read: dict[str, int]
    written: dict[str, int]
    objects: int
    rows: dict[str, int]
    figures: dict[str, float]
    inputs: list[str] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)


def storage_of(leaf: int) -> int:
    """Side of a storage chunk, of which a leaf holds whole ones: so that labels are looked up leaf by leaf."""
    return math.gcd(leaf, STORAGE_VX)


def rig_of(folder: Path, box: BBox, leaf: int, merge: Mapping[str, Any] | None = None, digests: bool = False) -> Rig:
    """A planned run over a box; merge: what `stages.merge` has beside the rules, such as where rounds begin."""
    storage = (storage_of(leaf),) * 3
    create_layer(str(folder / "affinities"), LayerSpec("image", "uint8", 3, box, (10, 10, 10), storage))
    config = RunConfig.model_validate(
        {
            "run": str(folder / "run"),
            "affinities": {"layer": str(folder / "affinities")},
            "layers": {"chunk_vx": storage},
            "stages": {
                "fragment": {"chunk_vx": (leaf,) * 3, "t_low": RULES["t_low"], "t_high": RULES["t_high"]},
                "merge": {"min_size_vx": RULES["min_size_vx"], "threshold": RULES["threshold"], **(merge or {})},
                "relabel": {"chunk_vx": (leaf,) * 3},
                "downsample": {"mips": 0},
            },
        }
    )
    planned = plan_run(config)
    return Rig(planned.stored(config.run)[0], planned.plan, digests)


@dataclass
class MadeLayer(Layer):
    """The phantom's affinities, made as they are read; the peak of memory counts from then on."""

    made_s: np.ndarray = field(default_factory=lambda: np.zeros(2))

    def read(self, box: BBox, channels: Sequence[int] | None = None) -> np.ndarray:
        """uint8 [c, z, y, x] of a box."""
        start = np.array([time.process_time(), time.perf_counter()])
        codes_CZYX = phantom_affinities(box, TISSUE)
        self.made_s += np.array([time.process_time(), time.perf_counter()]) - start
        reset_peak()
        return codes_CZYX


@dataclass
class CountedLayer(Layer):
    """Final labels that are not stored: only a digest is taken of each core, where wanted."""

    wanted: bool = False
    digests: dict[str, str] = field(default_factory=dict)

    def write(self, box: BBox, array_CZYX: np.ndarray) -> None:
        """Take note."""
        if self.wanted:
            self.digests[self.object_key(box)] = hashlib.sha256(np.ascontiguousarray(array_CZYX)).hexdigest()


class RigContext(Context):
    """A context whose affinities are made and whose final labels are counted."""

    wanted = False

    def layer(self, name: str, mip: int | None = None) -> Layer:
        """A layer of the plan."""
        found = super().layer(name, mip)
        kind = {"fragments": CountedLayer, "segmentation": CountedLayer, "provisional": Layer}.get(name, MadeLayer)
        if type(found) is not kind:
            own = {f.name: getattr(found, f.name) for f in fields(Layer) if f.init}
            found = kind(**own, wanted=self.wanted) if kind is CountedLayer else kind(**own)
            self._open[name, found.mip] = found
        return found


def taken_by(rig: Rig, key: str) -> Taken:
    """Execute one task here."""
    context, task, rows = RigContext(rig.plan.refs(rig.run.url), rig.run), rig.plan.task(key), Counter[str]()
    context.wanted = rig.digests
    leaf_module.settle = node_module.settle = lambda clusters, rules: _counted(clusters, rules, rows)
    reset_peak()
    start = time.process_time(), time.perf_counter()
    task.execute(context)
    cpu_s, wall_s = time.process_time() - start[0], time.perf_counter() - start[1]
    peak, made_s, digests = peak_bytes(), np.zeros(2), {}
    for layer in context._open.values():
        if isinstance(layer, MadeLayer):
            made_s += layer.made_s
        if isinstance(layer, CountedLayer):
            digests |= {f"{layer.name}/{name}": digest for name, digest in layer.digests.items()}
    inputs, outputs = context.record.inputs, context.record.outputs
    made_cpu_s, made_wall_s = (float(s) for s in made_s)
    return Taken(
        key,
        task.core.voxels,
        cpu_s - made_cpu_s,
        wall_s - made_wall_s,
        made_cpu_s,
        made_wall_s,
        peak,
        _stored(rig.folder, inputs),
        _stored(rig.folder, outputs),
        len(outputs),
        dict(rows),
        dict(context.record.figures),
        list(inputs),
        digests,
    )


def _counted(clusters: Clusters, rules: Any, rows: Counter[str]) -> Settled:
    settled = settle(clusters, rules)
    rows.update(s_in=len(clusters.s_rows.u), a_in=len(clusters.a_rows.u), clusters=len(clusters.handle))
    rows.update(s_up=len(settled.up["s_u"]), a_up=len(settled.up["a_u"]), waiting=int(clusters.waiting.sum()))
    rows.update(merges=len(settled.kept["merge_u"]), settled=len(settled.kept["settled"]))
    return settled


def group_of(name: str) -> str:
    """Group of a stored object: up, forest, faces, down, rounds, or a layer's name."""
    return name.split("/")[1]


def path_of(folder: Path, name: str) -> Path | None:
    """File of a stored object; None if there is none."""
    return next((p for suffix in SUFFIX.values() if (p := folder / (name + suffix)).exists()), None)


def _stored(folder: Path, names: dict[str, str]) -> dict[str, int]:
    found = Counter[str]()
    for name in names:
        path = path_of(folder, name)
        found[group_of(name)] += path.stat().st_size if path is not None else 0
    return dict(found)


def tier_taken(rig: Rig, keys: Iterable[str]) -> list[Taken]:
    """Execute the tasks of one tier that are not done, each in a process forked for it, two at a time.

    Raises:
        RuntimeError: a task failed.
    """
    keys, running = list(keys), dict[int, tuple[BaseProcess, str]]()
    rig.taken_path("").parent.mkdir(exist_ok=True)
    for key in keys:
        if rig.taken_path(key).exists():
            continue
        if len(running) == WORKERS:
            _join_one(running)
        child = multiprocessing.get_context("fork").Process(target=_child, args=(rig, key))
        child.start()
        running[child.sentinel] = child, key
    while running:
        _join_one(running)
    return [Taken(**json.loads(rig.taken_path(key).read_text())) for key in keys]


def _child(rig: Rig, key: str) -> None:
    path = rig.taken_path(key)
    path.with_suffix(".new").write_text(json.dumps(vars(taken_by(rig, key))))
    path.with_suffix(".new").rename(path)


def _join_one(running: dict[int, tuple[BaseProcess, str]]) -> None:
    child, key = running.pop(int(wait(list(running))[0]))  # type: ignore[call-overload]
    child.join()
    if child.exitcode:
        raise RuntimeError(f"{key} ended with {child.exitcode}; what it said stands above")
