"""Workers on eight chunks, the whole way: leaves, nodes, the way down, segments, each as soon as it can begin.

As with a run's driver, what a finished task made ready goes first, then the next leaf. Two workers stand beside one
worker on the same eight chunks, and beside one core on all of it as one chunk. What tasks hand on stays in memory:
reading, copying labels to where both workers see them, and passing tables between processes are left out of the seconds
and told beside them. So a worker's clock is moved by its tasks alone; a task begins where that clock stands, or where
the last of the tasks that it waits for ended. Who takes a task is decided while they run: a schedule that can be, if
not the one that these clocks alone would choose. Clocks count processor seconds, since the process that passes tables
shares the two cores; elapsed seconds stand beside them. What the same leaves take beside another worker and alone tells
what the machine's second core is worth.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.sharedctypes import RawArray
from statistics import median
from typing import Any

import numpy as np
from bench.segment_numbers import number_segments

from emseg.tasks.arrays.coded import Affinities, Coded
from emseg.tasks.arrays.faces import FacePair
from emseg.tasks.arrays.forest import Down, Forest
from emseg.tasks.arrays.leaf import LeafResult, leaf
from emseg.tasks.arrays.node import NodeResult, node
from emseg.tasks.arrays.relabel import lookup_tables
from emseg.tasks.arrays.resolve import resolve
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.arrays.sides import weights_box
from emseg.tasks.arrays.sweep import tree_of
from emseg.tasks.arrays.weights import LINEAR_UINT8
from emseg.tasks.volume.bbox import BBox, Vec, vec
from emseg.tasks.volume.tree import Tree

KINDS = ("leaf", "node", "down", "segments")
Key = tuple[str, int, Vec]  # kind, level, index
Cores = dict[Vec, BBox]
Whole = tuple[np.ndarray, np.ndarray]  # segment numbers [z, y, x], uint64 id of each number
NO_LABELS = np.zeros((0, 0, 0), np.uint32)


@dataclass(frozen=True)
class Job:
    """A task: what it waits for, and what is handed to it once that is done."""

    needs: tuple[Key, ...]
    arguments: Callable[[dict[Key, Any]], tuple[Any, ...]]


class Worker:
    """What one worker process can do; all of them share the labels."""

    def __init__(self, path: str, cores: Cores, labels: dict[Vec, Any], rules: Rules) -> None:
        codes = np.load(path)
        self.whole, self.cores, self.rules = box_of(codes), cores, rules
        self.parts: dict[Vec, Affinities] = {
            index: Coded(codes[(slice(None), *weights_box(core, self.whole).slices_ZYX((0, 0, 0)))], LINEAR_UINT8)
            for index, core in cores.items()
        }
        self.labels = {i: np.frombuffer(labels[i], np.uint32).reshape(core.shape_ZYX) for i, core in cores.items()}

    def do(self, key: Key, arguments: tuple[Any, ...]) -> tuple[Any, float, float]:
        """Result of a job, its seconds and processor seconds."""
        kind, _, index = key
        made, wall_s, cpu_s = timed(lambda: getattr(self, kind)(index, *arguments))
        if kind == "leaf":
            self.labels[index][:] = made.labels_ZYX
            made = LeafResult(NO_LABELS, made.faces, made.forest, made.up)
        return made, wall_s, cpu_s

    def leaf(self, index: Vec) -> LeafResult:
        """Fragments, rows, S and A of a core."""
        return leaf(self.parts[index], self.cores[index], self.whole, self.rules)

    def node(self, _: Vec, children: Any, pairs: list[FacePair]) -> NodeResult:
        """A node."""
        return node(children, pairs, self.rules)

    def down(self, _: Vec, down: Down, forest: Forest) -> list[Down]:
        """Final ids for the children of a node."""
        return resolve(down, forest, self.rules.dust_vx)

    def segments(self, index: Vec, down: Down, forest: Forest) -> np.ndarray:
        """A core's labels become segment numbers in their own memory; the uint64 ids of these numbers."""
        ids, numbers = np.unique(lookup_tables(self.down(index, down, forest)[0])[1], return_inverse=True)
        number_segments(self.labels[index], numbers.astype(np.uint32))
        return ids


def box_of(codes_CZYX: Affinities) -> BBox:
    """Box at the origin."""
    return BBox.sized((0, 0, 0), codes_CZYX.shape[:0:-1])


def work(pipe: Connection, *made_of: Any) -> None:
    """Do what comes through the pipe, until nothing does: key, arguments -> key, result, seconds, processor seconds."""
    worker = Worker(*made_of)
    while (job := pipe.recv()) is not None:
        pipe.send((job[0], *worker.do(*job)))


def timed(job: Callable[[], Any]) -> tuple[Any, float, float]:
    """What a job makes, its seconds and processor seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    made = job()
    return made, time.perf_counter() - wall, time.process_time() - cpu


def jobs_of(cuts: list[list[int]], cores: Cores) -> dict[Key, Job]:
    """All tasks over a grid; leaves in the order in which a driver walks them."""
    tree = tree_of(cuts)
    leaves: dict[Key, Job] = {("leaf", 0, index): Job((), lambda _: ()) for index in tree.nodes(0).indices()}
    return leaves | _way_up(tree, cores) | _way_down(tree)


def _made_by(level: int, index: Vec) -> Key:
    return ("node" if level else "leaf", level, index)


def _way_up(tree: Tree, cores: Cores) -> dict[Key, Job]:
    def pair(done: dict[Key, Any], upper: Vec, axis: int) -> FacePair:
        below, name = vec([i - (a == axis) for a, i in enumerate(upper)]), "xyz"[axis]
        low, high = done["leaf", 0, below].faces[name + "+"], done["leaf", 0, upper].faces[name + "-"]
        return FacePair(low, high, axis, cores[upper].min)

    def job(level: int, parent: Vec) -> Job:
        children = {child: _made_by(level - 1, child) for child in tree.children(level, parent)}
        return Job(
            tuple(children.values()),
            lambda done: (
                [(child, done[key].up) for child, key in children.items()],
                [pair(done, upper, axis) for _, upper, axis in tree.pairs(level, parent)],
            ),
        )

    return {("node", n, i): job(n, i) for n in range(1, tree.levels + 1) for i in tree.nodes(n).indices()}


def _way_down(tree: Tree) -> dict[Key, Job]:
    (root,) = tree.nodes(tree.levels).indices()
    jobs = {
        ("down", tree.levels, root): Job(
            (_made_by(tree.levels, root),), lambda done: (Down.empty(), done[_made_by(tree.levels, root)].forest)
        )
    }
    for level in range(tree.levels, 0, -1):
        for parent in tree.nodes(level).indices():
            for place, child in enumerate(tree.children(level, parent)):
                above, made_by = ("down", level, parent), _made_by(level - 1, child)
                kind = "down" if level > 1 else "segments"
                jobs[kind, level - 1, child] = Job(
                    (above,), lambda done, a=above, p=place, m=made_by: (done[a][p], done[m].forest)
                )
    return jobs


def play(pipes: list[Connection], jobs: dict[Key, Job]) -> dict[str, Any]:
    """Everything once: processor and elapsed seconds of the workers' clocks at the end, processor seconds of all tasks
    of a kind together, and by core the uint64 ids of its segment numbers."""
    done: dict[Key, Any] = {}
    ends: dict[Key, np.ndarray] = {}
    clocks, spent = np.zeros((len(pipes), 2)), dict.fromkeys(KINDS, 0.0)
    at_once, made_ready = deque(key for key, job in jobs.items() if not job.needs), deque[Key]()
    idle = set(range(len(pipes)))
    while len(done) < len(jobs):
        while idle and (made_ready or at_once):
            key = (made_ready or at_once).popleft()
            worker = min(idle, key=lambda w: clocks[w, 0])
            idle.remove(worker)
            pipes[worker].send((key, jobs[key].arguments(done)))
        if len(idle) == len(pipes):
            raise RuntimeError(f"nothing can begin, and {len(jobs) - len(done)} tasks are left: they wait in a circle")
        for pipe in wait([p for w, p in enumerate(pipes) if w not in idle]):
            worker = pipes.index(pipe)
            key, done[key], *took = pipe.recv()  # EOFError: the worker died, and the measurement with it
            idle.add(worker)
            begin = np.max([clocks[worker], *(ends[need] for need in jobs[key].needs)], axis=0)
            ends[key] = clocks[worker] = begin + took
            spent[key[0]] += took[1]
            made_ready.extend(k for k, j in jobs.items() if key in j.needs and all(need in done for need in j.needs))
    ids = {index: made for (kind, _, index), made in done.items() if kind == "segments"}
    elapsed, seconds = clocks.max(axis=0)
    return {"seconds": float(seconds), "elapsed": float(elapsed), **spent, "ids": ids}


def team(workers: int, *made_of: Any) -> list[Connection]:
    """Pipes to as many worker processes."""
    context, pipes = multiprocessing.get_context("spawn"), []
    for _ in range(workers):
        here, there = context.Pipe()
        context.Process(target=work, args=(there, *made_of), daemon=True).start()
        pipes.append(here)
    return pipes


def require_same(labels: dict[Vec, Any], ids: dict[Vec, np.ndarray], whole: Whole, cores: Cores) -> None:
    """Compare segments, by core: uint32 numbers in shared memory and their uint64 ids, with those of the whole.

    Raises:
        RuntimeError: workers on eight chunks do not get the segments of one chunk.
    """
    numbers_ZYX, whole_ids = whole
    for index, core in cores.items():
        of_core = np.frombuffer(labels[index], np.uint32).reshape(core.shape_ZYX)
        if not np.array_equal(ids[index][of_core], whole_ids[numbers_ZYX[core.slices_ZYX((0, 0, 0))]]):
            raise RuntimeError(
                f"workers on eight chunks found other segments than one core on one chunk in core {index}"
            )


def measure_two(path: str, rules: Rules, repeats: int, one: Callable[[Coded], Whole]) -> dict[str, float]:
    """Medians of the processor seconds of two workers, of one worker on the same chunks (`alone`), of one core on one
    chunk (`one`), of reading, and of what passing things between processes took.

    Raises:
        RuntimeError: workers on eight chunks do not get the segments of one chunk.
    """
    codes, read_s, _ = timed(lambda: np.load(path))
    cuts = [[0, (n + 1) // 2, n] for n in box_of(codes).size]
    cores = {
        vec(i): BBox.of([c[k] for c, k in zip(cuts, i, strict=True)], [c[k + 1] for c, k in zip(cuts, i, strict=True)])
        for i in np.ndindex(2, 2, 2)
    }
    labels = {index: RawArray(ctypes.c_uint32, int(np.prod(core.size))) for index, core in cores.items()}
    jobs, found = jobs_of(cuts, cores), []
    alone, pair = (team(workers, path, cores, labels, rules) for workers in (1, 2))
    for repeat in range(repeats + 1):  # the first compiles
        whole, one_elapsed_s, one_s = timed(lambda: one(Coded(codes, LINEAR_UINT8)))
        two, wall_s, _ = timed(lambda: play(pair, jobs))
        require_same(labels, two.pop("ids"), whole, cores)
        single = play(alone, jobs)
        require_same(labels, single.pop("ids"), whole, cores)
        two |= {"one": one_s, "one_elapsed": one_elapsed_s, "handing": wall_s - two["elapsed"]}
        two |= {"alone": single["seconds"], "alone_elapsed": single["elapsed"], "leaf_alone": single["leaf"]}
        found += [two] if repeat else []
    for pipe in (*alone, *pair):
        pipe.send(None)
    return {name: median(one[name] for one in found) for name in found[0]} | {"read": read_s}
