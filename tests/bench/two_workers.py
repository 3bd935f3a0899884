"""Workers on eight chunks, the whole way: leaves, the nodes of each level side by side, the way down, segments.

Two workers stand beside one worker on the same eight chunks, and beside one core on all of it as one chunk.
What workers hand on stays in memory: reading, and passing tables and faces between processes, are left out of the
seconds and told beside them. A step takes as long as the slower worker; steps wait for each other. Beside the seconds
stand processor seconds, which say the same where nothing else runs, and more where something does.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from statistics import median
from typing import Any

import numpy as np
from bench.segment_numbers import number_segments

from emseg.tasks.arrays.coded import Affinities, Coded
from emseg.tasks.arrays.faces import FacePair
from emseg.tasks.arrays.forest import Down
from emseg.tasks.arrays.leaf import LeafResult, leaf
from emseg.tasks.arrays.node import NodeResult, node
from emseg.tasks.arrays.relabel import lookup_tables
from emseg.tasks.arrays.resolve import resolve
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.arrays.sides import weights_box
from emseg.tasks.arrays.sweep import tree_of
from emseg.tasks.arrays.weights import LINEAR_UINT8
from emseg.tasks.volume.bbox import BBox, Vec, vec

STEPS = ("leaves", "above", "down")
Job = tuple[Any, ...]  # function, arguments


class Worker:
    """What one worker process holds: its cores' affinities and, once made, their labels."""

    def __init__(self, path: str, cores: dict[Vec, BBox], rules: Rules) -> None:
        codes = np.load(path)
        self.whole, self.cores, self.rules = box_of(codes), cores, rules
        self.parts: dict[Vec, Affinities] = {
            index: Coded(codes[(slice(None), *weights_box(core, self.whole).slices_ZYX((0, 0, 0)))], LINEAR_UINT8)
            for index, core in cores.items()
        }
        self.labels: dict[Vec, np.ndarray] = {}

    def leaves(self) -> dict[Vec, LeafResult]:
        """Every leaf of this worker; labels stay here."""
        made = {i: leaf(part, self.cores[i], self.whole, self.rules) for i, part in self.parts.items()}
        self.labels = {i: result.labels_ZYX for i, result in made.items()}
        return made

    def nodes(self, jobs: dict[Vec, tuple[Any, list[FacePair]]]) -> dict[Vec, NodeResult]:
        """Nodes of one level."""
        return {i: node(children, pairs, self.rules) for i, (children, pairs) in jobs.items()}

    def down(self, jobs: dict[Vec, tuple[Down, Any]]) -> dict[Vec, list[Down]]:
        """Final ids for the children of nodes of one level."""
        return {i: resolve(down, forest, self.rules.dust_vx) for i, (down, forest) in jobs.items()}

    def segments(self, jobs: dict[Vec, tuple[Down, Any]]) -> list[np.ndarray]:
        """Labels become segment numbers in their own memory; returns the uint64 ids of each leaf's numbers."""
        out = []
        for i, downs in self.down(jobs).items():
            ids, numbers = np.unique(lookup_tables(downs[0])[1], return_inverse=True)
            number_segments(self.labels[i], numbers.astype(np.uint32))
            out.append(ids)
        return out


def box_of(codes_CZYX: Affinities) -> BBox:
    """Box at the origin."""
    return BBox.sized((0, 0, 0), codes_CZYX.shape[:0:-1])


def work(pipe: Connection, path: str, cores: dict[Vec, BBox], rules: Rules) -> None:
    """Do what comes through the pipe, until nothing does: method, arguments -> result, seconds, processor seconds."""
    worker = Worker(path, cores, rules)
    while (job := pipe.recv()) is not None:
        made, *took = timed(lambda job=job: getattr(worker, job[0])(*job[1:]))
        pipe.send((_without_labels(made), *took))


def timed(job: Callable[[], Any]) -> tuple[Any, float, float]:
    """What a job makes, its seconds and processor seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    made = job()
    return made, time.perf_counter() - wall, time.process_time() - cpu


def _without_labels(made: Any) -> Any:
    if isinstance(made, dict) and all(isinstance(m, LeafResult) for m in made.values()):
        none = np.zeros((0, 0, 0), np.uint32)
        return {i: LeafResult(none, m.faces, m.forest, m.up) for i, m in made.items()}
    return made


def step(pipes: list[Connection], jobs: list[Job]) -> tuple[list[Any], float, float]:
    """One job for each worker; their results, and the seconds and processor seconds of the slower one."""
    for pipe, job in zip(pipes, jobs, strict=True):
        pipe.send(job)
    done = [pipe.recv() for pipe in pipes]
    return [d[0] for d in done], max(d[1] for d in done), max(d[2] for d in done)


def shared(jobs: dict[Vec, Any], workers: int) -> list[dict[Vec, Any]]:
    """Jobs dealt out to the workers."""
    return [dict(list(jobs.items())[n::workers]) for n in range(workers)]


def merged(parts: Iterable[dict[Vec, Any]]) -> dict[Vec, Any]:
    """Results of all workers together."""
    return {i: made for part in parts for i, made in part.items()}


def seconds_of(measured: dict[str, Any]) -> float:
    """All steps together."""
    return float(sum(measured[name] for name in STEPS))


def climb_and_descend(pipes: list[Connection], cuts: list[list[int]], cores: dict[Vec, BBox]) -> dict[str, Any]:
    """One round over everything: seconds of each step, and all segment ids."""
    tree, seconds = tree_of(cuts), dict.fromkeys((*STEPS, "cpu"), 0.0)

    def run(name: str, method: str, jobs: list[Job]) -> list[Any]:
        made, took, cpu = step(pipes, [(method, *job) for job in jobs])
        seconds[name] += took
        seconds["cpu"] += cpu
        return made

    leaves = merged(run("leaves", "leaves", [()] * len(pipes)))

    def pair(upper: Vec, axis: int) -> FacePair:
        below, name = vec([i - (a == axis) for a, i in enumerate(upper)]), "xyz"[axis]
        return FacePair(leaves[below].faces[name + "+"], leaves[upper].faces[name + "-"], axis, cores[upper].min)

    levels: list[dict[Vec, Any]] = [leaves]
    for level in range(1, tree.levels + 1):
        jobs = {
            parent: (
                [(child, levels[-1][child].up) for child in tree.children(level, parent)],
                [pair(upper, axis) for _, upper, axis in tree.pairs(level, parent)],
            )
            for parent in tree.nodes(level).indices()
        }
        levels.append(merged(run("above", "nodes", [(part,) for part in shared(jobs, len(pipes))])))
    downs = {index: Down.empty() for index in levels[-1]}
    for level in range(tree.levels, 0, -1):
        jobs = {index: (downs[index], result.forest) for index, result in levels[level].items()}
        made = merged(run("down", "down", [(part,) for part in shared(jobs, len(pipes))]))
        downs = {c: d for i, below in made.items() for c, d in zip(tree.children(level, i), below, strict=True)}
    jobs = {index: (downs[index], leaves[index].forest) for index in cores}
    ids = run("down", "segments", [(part,) for part in shared(jobs, len(pipes))])
    return {**seconds, "ids": np.unique(np.concatenate([i for part in ids for i in part]))}


def team(path: str, cores: dict[Vec, BBox], rules: Rules, workers: int) -> list[Connection]:
    """Pipes to as many worker processes, each with its share of the cores."""
    context, pipes = multiprocessing.get_context("spawn"), []
    for mine in shared(cores, workers):
        here, there = context.Pipe()
        context.Process(target=work, args=(there, path, mine, rules), daemon=True).start()
        pipes.append(here)
    return pipes


def measure_two(path: str, rules: Rules, repeats: int, one: Callable[[Coded], np.ndarray]) -> dict[str, float]:
    """Medians of the steps' seconds, of one worker on the same chunks, of one core on one chunk (`one`, which returns
    its segment ids), of reading, and of what passing things between processes took.

    Raises:
        RuntimeError: workers on eight chunks do not get the segments of one chunk.
    """
    codes, read_s, _ = timed(lambda: np.load(path))
    cuts = [[0, (n + 1) // 2, n] for n in box_of(codes).size]
    cores = {
        vec(i): BBox.of([c[k] for c, k in zip(cuts, i, strict=True)], [c[k + 1] for c, k in zip(cuts, i, strict=True)])
        for i in np.ndindex(2, 2, 2)
    }
    alone, pair, found = team(path, cores, rules, 1), team(path, cores, rules, 2), []
    for repeat in range(repeats + 1):  # the first compiles
        two, wall_s, _ = timed(lambda: climb_and_descend(pair, cuts, cores))
        single = climb_and_descend(alone, cuts, cores)
        ids, one_s, one_cpu_s = timed(lambda: one(Coded(codes, LINEAR_UINT8)))
        two |= {"one": one_s, "one_cpu": one_cpu_s, "handing": wall_s - seconds_of(two)}
        two |= {"alone": seconds_of(single), "alone_cpu": single["cpu"]}
        if not np.array_equal(ids, two.pop("ids")) or not np.array_equal(ids, single["ids"]):
            raise RuntimeError("workers on eight chunks found other segments than one core on one chunk")
        found += [two] if repeat else []
    for pipe in (*alone, *pair):
        pipe.send(None)
    return {name: median(one[name] for one in found) for name in found[0]} | {"read": read_s}
