"""Connected components of real labels, layer to layer: emseg, cc3d on the whole, igneous, dask-image; one process each.

python tests/bench/components.py LABELS.npy.ckl.gz [SIDE] [PYTHON]   # PYTHON: an interpreter that has dask-image
A table, then one JSON object. Equal: same components as cc3d of the whole, ids aside. igneous knows faces only and
trims dust in each chunk; dask-image knows binary masks only, so it labels a mask (odd labels), in memory.
"""

from __future__ import annotations

import functools
import gzip
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cc3d
import crackle
import numpy as np
from cloudvolume import CloudVolume
from igneous.task_creation import create_ccl_equivalence_tasks, create_ccl_face_tasks, create_ccl_relabel_tasks
from igneous.tasks.image.ccl import create_relabeling
from taskqueue import LocalTaskQueue

from emseg.pipeline.components import ComponentRules, connected_components
from emseg.tasks.arrays.contingency import contingency
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.info import LayerSpec
from emseg.tasks.volume.layer import create_layer, open_layer

CHUNK = (128, 128, 128)
LINE = (
    "{way:<27} {layer:<7} {connectivity:>2}-connected  dust {dust_vx:>3}  {seconds:6.1f} s  {cpu_s:6.1f} s CPU  "
    "{peak_gb:5.2f} GB  {components:6d} components  "
)
DASK_IMAGE = """
import json, resource, sys, time
import dask, dask.array, dask_image.ndmeasure, numpy, scipy.ndimage
start = time.perf_counter()
mask = dask.array.from_array(numpy.load(sys.argv[1], mmap_mode="r"), chunks=(128, 128, 128))
structure = scipy.ndimage.generate_binary_structure(3, int(sys.argv[3]))
with dask.config.set(scheduler="synchronous"):
    labels = dask_image.ndmeasure.label(mask, structure)[0].compute()
seconds = time.perf_counter() - start
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([seconds, used.ru_utime + used.ru_stime, used.ru_maxrss]))
numpy.save(sys.argv[2], labels)
"""


def by_emseg(source: str, out: str, connectivity: int, dust_vx: int, chunk_vx: tuple[int, int, int] = CHUNK) -> None:
    """One worker process."""
    above = 0.0 if source.endswith("mask") else None
    connected_components(source, out, ComponentRules(connectivity, dust_vx, above), chunk_vx=chunk_vx)


def by_cc3d(source: str, out: str, connectivity: int, dust_vx: int) -> None:
    """The whole volume in memory."""
    volume = CloudVolume("file://" + source, progress=False)
    labels = cc3d.connected_components(np.asarray(volume[:])[..., 0], connectivity=connectivity, out_dtype=np.uint32)
    if dust_vx:
        labels = cc3d.dust(labels, threshold=dust_vx, connectivity=connectivity)
    layer = CloudVolume("file://" + out, info={**volume.info, "data_type": str(labels.dtype)}, progress=False)
    layer.commit_info()
    layer[:] = labels


def by_igneous(source: str, out: str, connectivity: int, dust_vx: int) -> None:
    """Its four passes."""
    source, out = "file://" + source, "file://" + out
    queue = LocalTaskQueue(parallel=1, progress=False)
    for tasks in (create_ccl_face_tasks, create_ccl_equivalence_tasks):
        queue.insert_all(tasks(source, 0, shape=CHUNK, dust_threshold=dust_vx))
    create_relabeling(source, 0, CHUNK)
    queue.insert_all(create_ccl_relabel_tasks(source, out, 0, shape=CHUNK, encoding="raw", dust_threshold=dust_vx))


WAYS: dict[str, Callable[[str, str, int, int], None]] = {
    "emseg, chunks of 128³": by_emseg,
    "emseg, one chunk": functools.partial(by_emseg, chunk_vx=(4096, 4096, 4096)),
    "igneous, chunks of 128³": by_igneous,
    "cc3d on the whole": by_cc3d,
}


def one(name: str, source: str, out: str, connectivity: str, dust_vx: str) -> list[float]:
    """Run one way in this process; seconds, CPU seconds of all its processes, peak kB of the largest."""
    start = time.perf_counter()
    WAYS[name](source, out, int(connectivity), int(dust_vx))
    seconds = time.perf_counter() - start
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return [seconds, sum(u.ru_utime + u.ru_stime for u in used), max(u.ru_maxrss for u in used)]


def prepare(folder: str, file: str, side: str) -> None:
    """Layers `labels` and `mask` of a cube, and the mask as npy."""
    n = int(side)
    cube = crackle.decompress(gzip.decompress(Path(file).read_bytes())).T[:n, :n, :n]
    box = BBox.sized((0, 0, 0), cube.shape[::-1])
    odd = (cube % 2).astype(np.uint8)
    np.save(f"{folder}/mask.npy", odd)
    for name, array, encoding in (("labels", cube, "compressed_segmentation"), ("mask", odd, "raw")):
        spec = LayerSpec("segmentation", str(array.dtype), 1, box, (32, 32, 40), (64, 64, 64), encoding)
        create_layer(f"{folder}/{name}", spec).write(box, np.ascontiguousarray(array))


def compare(found: str, wanted: str) -> tuple[int, bool]:
    """Components found, and whether they are the wanted ones, ids aside."""
    table = contingency(loaded(found), loaded(wanted))
    both = (table.seg > 0) & (table.gt > 0)
    count, expected = (len(np.unique(ids[ids > 0])) for ids in (table.seg, table.gt))
    same = bool(((table.seg > 0) == (table.gt > 0)).all()) and int(both.sum()) == count == expected
    return count, same


def loaded(place: str) -> np.ndarray:
    """Labels of a layer or an npy."""
    if place.endswith(".npy"):
        return np.load(place)  # type: ignore[no-any-return]
    layer = open_layer(place)
    return layer.read_ZYX(layer.bounds)


def apart(*command: str) -> Any:
    """What a process of its own says; this one stays small, for its memory counts as theirs."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def trials(python: str) -> list[tuple[str, str, int, int]]:
    """(way, layer, connectivity, dust) of every row; cc3d first of each kind."""
    chunked, whole, igneous, cc = WAYS
    rows = [(name, "labels", 6, 0) for name in (cc, chunked, whole, igneous)]
    rows += [(name, "labels", 6, 500) for name in (cc, chunked, igneous)]
    rows += [(name, "labels", 26, 0) for name in (cc, chunked, whole)]
    rows += [(name, "mask", 6, 0) for name in (cc, chunked)]
    return rows + ([("dask-image, chunks of 128³", "mask", 6, 0)] if python else [])


def row_of(folder: str, number: int, trial: tuple[str, str, int, int], python: str) -> tuple[dict[str, Any], str]:
    """Figures of one trial, and where its labels are."""
    name, layer, connectivity, dust_vx = trial
    out = f"{folder}/out-{number}"
    if name.startswith("dask-image"):
        out += ".npy"
        figures = apart(python, "-c", DASK_IMAGE, f"{folder}/mask.npy", out, "1")
    else:
        figures = apart(*AGAIN, "one", name, f"{folder}/{layer}", out, str(connectivity), str(dust_vx))
    seconds, cpu_s, peak_kb = figures
    row = {"way": name, "layer": layer, "connectivity": connectivity, "dust_vx": dust_vx}
    return {**row, "seconds": seconds, "cpu_s": cpu_s, "peak_gb": peak_kb / 1e6}, out


def main(file: str, side: str = "512", python: str = "") -> None:
    """Measure every row, print a table and one JSON object."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        apart(*AGAIN, "prepare", folder, file, side)
        for number, trial in enumerate(trials(python)):
            row, out = row_of(folder, number, trial, python)
            if trial[0] == "cc3d on the whole":
                wanted = out
            row["components"], row["equal"] = apart(*AGAIN, "compare", out, wanted)
            rows.append(row)
            print(LINE.format(**row) + ("equal" if row["equal"] else "NOT equal"), flush=True)
    if not python:
        print("dask-image: not measured; give an interpreter that has it")
    print(json.dumps({"side_vx": int(side), "rows": rows}))


AGAIN = (sys.executable, __file__)
STEPS: dict[str, Callable[..., Any]] = {"one": one, "prepare": prepare, "compare": compare}

if __name__ == "__main__":
    if sys.argv[1] in STEPS:
        print(json.dumps(STEPS[sys.argv[1]](*sys.argv[2:])))
    else:
        main(*sys.argv[1:])
