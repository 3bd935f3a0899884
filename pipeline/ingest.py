"""`emseg ingest`: a file of another format becomes a layer, chunk by chunk; what was copied is not copied again."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from emseg.pipeline.plan import Plan
from emseg.pipeline.runner import Watch
from emseg.pipeline.small import run_small
from emseg.pipeline.tier import Need, Tier
from emseg.tasks.context import LayerRef
from emseg.tasks.volume.bbox import BBox, Vec, vec
from emseg.tasks.volume.errors import ConfigError
from emseg.tasks.volume.foreign import Foreign, file_digest, open_foreign, split_name
from emseg.tasks.volume.grid import Grid
from emseg.tasks.volume.info import LayerSpec, VoxelNm, new_info, parse_scale
from emseg.tasks.volume.url import canonical_url

TASK_CHUNKS = (4, 4, 1)  # storage chunks of one task
TASK_BYTES = 512 << 20  # of a task that reads whole sections
INTEGERS = ("uint8", "uint16", "uint32", "uint64")
FACTOR = (2, 2, 2)
OFFSETS, MOST_CHANNELS = 3, 64  # of affinities: what most have, and more than any


def ingest(
    source: str,
    dest: str,
    *,
    voxel_nm: VoxelNm | None = None,
    offset: Vec = (0, 0, 0),
    chunk_vx: Vec = (64, 64, 64),
    kind: str | None = None,
    mips: int = 0,
    workers: int = 1,
    watch: Watch = lambda tally: None,
) -> dict[str, Any]:
    """Copy a volume into a layer.

    Args:
        source: file.h5:dataset, .npy, TIFF stack, or a folder of sections.
        dest: the layer to make; records of the work lie beside it, in DEST.ingest.
        voxel_nm: x, y, z; default: what the file says.
        offset: of the first voxel.
        chunk_vx: storage chunk.
        kind: 'image', 'segmentation' or 'affinity'; default: uint32 and uint64 of one channel are a segmentation.
        mips: coarser mips to add.
        workers: processes.

    Returns:
        layer, bbox, voxel_nm, dtype, channels.

    Raises:
        ConfigError, LayerError: something does not fit; nothing was written. TaskFailedError: labels below 0.
    """
    foreign = open_foreign(source)
    size = voxel_nm or foreign.voxel_nm
    if size is None:
        raise ConfigError(f"{source}: does not say its voxel size; give --voxel-nm x,y,z")
    if not all(math.isfinite(nm) and nm > 0 for nm in size):
        raise ConfigError(f"--voxel-nm {size}: sizes must be positive numbers")
    if min(chunk_vx) < 1:
        raise ConfigError(f"--chunk-vx {list(chunk_vx)}: each side must be at least 1 voxel")
    url, box = canonical_url(dest), BBox.sized(offset, foreign.size)
    spec = _spec(foreign, kind, box, size, chunk_vx, mips, _about(source, foreign, offset))
    plan = _plan(source, url, spec, offset, _task_chunk_vx(foreign, spec))
    run_small(plan, url + ".ingest", workers, watch, {url: spec})
    return {
        "layer": url,
        "bbox": str(box),
        "voxel_nm": list(size),
        "dtype": spec.dtype,
        "channels": spec.channels,
    }


def _about(source: str, foreign: Foreign, offset: Vec) -> dict[str, Any]:
    digest = file_digest(Path(split_name(source)[0]))
    return {"ingested": {**foreign.about, "sha256": digest, "offset": list(offset)}}


def _spec(
    foreign: Foreign, kind: str | None, box: BBox, size: VoxelNm, chunk_vx: Vec, mips: int, about: dict[str, Any]
) -> LayerSpec:
    dtype, channels = _stored(foreign.dtype, foreign.where), foreign.shape_CZYX[0]
    chosen = kind or ("segmentation" if dtype in ("uint32", "uint64") and channels == 1 else "image")
    _require_kind(chosen, dtype, channels, foreign.where)
    if chosen == "affinity":
        _require_channel_first(foreign)
    wide = chosen == "segmentation" and dtype in ("uint32", "uint64")
    encoding = "compressed_segmentation" if wide else "raw"
    stored = "segmentation" if chosen == "segmentation" else "image"
    return LayerSpec(stored, dtype, channels, box, size, chunk_vx, encoding, "gzip", (FACTOR,) * mips, about)


def _require_kind(kind: str, dtype: str, channels: int, where: str) -> None:
    if kind not in ("image", "segmentation", "affinity"):
        raise ConfigError(f"--kind {kind!r}: choose image, segmentation or affinity")
    if kind == "segmentation" and (dtype not in INTEGERS or channels != 1):
        raise ConfigError(f"{where}: holds {channels} channels of {dtype}; a segmentation is one of integers")
    if kind == "affinity" and (dtype not in ("uint8", "uint16", "float32") or channels < 3):
        raise ConfigError(
            f"{where}: holds {channels} channels of {dtype}; affinities are at least 3 of uint8, uint16 or float32"
        )


def _require_channel_first(foreign: Foreign) -> None:
    """Refuse affinities whose channels seem to be the last axis."""
    channels, *_, last = foreign.shape_CZYX
    if channels > MOST_CHANNELS or (last == OFFSETS and channels != OFFSETS):
        raise ConfigError(
            f"{foreign.where}: shape {list(foreign.shape_CZYX)} looks channel-last; affinities are [c, z, y, x] of at "
            f"most {MOST_CHANNELS} channels: transpose it"
        )


def _stored(dtype: np.dtype[Any], where: str) -> str:
    if dtype == np.int64:
        return "uint64"
    if dtype == np.int32:
        return "uint32"
    if dtype == np.bool_:
        return "uint8"
    if dtype.name not in (*INTEGERS, "float32"):
        raise ConfigError(f"{where}: is {dtype}; bool, uint8 to uint64, int32, int64 and float32 are read")
    return dtype.name


def _task_chunk_vx(foreign: Foreign, spec: LayerSpec) -> Vec:
    """Core of a task; of sections as much of x, then y, as a task may hold, for each section is decoded whole."""
    if not foreign.by_section:
        return vec([c * n for c, n in zip(spec.chunk_vx, TASK_CHUNKS, strict=True)])
    cx, cy, cz = spec.chunk_vx
    width = -(-spec.bbox.size[0] // cx) * cx
    rows = TASK_BYTES // (width * cy * cz * foreign.dtype.itemsize)
    return (width, max(1, min(rows, -(-spec.bbox.size[1] // cy))) * cy, cz)


def _plan(source: str, url: str, spec: LayerSpec, offset: Vec, chunk_vx: Vec) -> Plan:
    fields = {"source": "source", "out": "out", "origin": offset}
    tiers = [Tier("ingest", "ingest", Grid(spec.bbox, chunk_vx), fields)]
    for mip in range(1, len(spec.factors) + 1):
        scale = parse_scale(new_info(spec), mip, url)
        below = "ingest" if mip == 1 else f"downsample/{mip - 1}"
        down = {"layer": "out", "mip": mip, "factor": FACTOR}
        grid = Grid(scale.bounds, vec([4 * c for c in scale.chunk_vx]))
        tiers.append(Tier(f"downsample/{mip}", "downsample", grid, down, (Need(below, factor=FACTOR),)))
    name = str(Path(source).absolute())
    return Plan({"source": LayerRef(name), "out": LayerRef(url)}, tuple(tiers))
