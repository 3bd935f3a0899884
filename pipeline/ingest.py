"""`emseg ingest`: a file of another format becomes a layer, chunk by chunk; what was copied is not copied again."""

from __future__ import annotations

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

TASK_CHUNKS = (4, 4, 1)  # storage chunks of one task: sections of a stack are decoded once a task
FACTOR = (2, 2, 2)


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
        kind: 'image', 'segmentation' or 'affinity'; default: by channels and data type.
        mips: coarser mips to add.
        workers: processes.

    Returns:
        layer, bbox, voxel_nm, dtype, channels.
    """
    foreign = open_foreign(source)
    size = voxel_nm or foreign.voxel_nm
    if size is None:
        raise ConfigError(f"{source}: does not say its voxel size; give --voxel-nm x,y,z")
    if min(size) <= 0:
        raise ConfigError(f"--voxel-nm {size}: sizes must be positive")
    url, box = canonical_url(dest), BBox.sized(offset, foreign.size)
    spec = _spec(foreign, kind, box, size, chunk_vx, mips, _about(source, foreign, offset))
    run_small(_plan(source, url, spec, offset), url + ".ingest", workers, watch, {url: spec})
    return {
        "layer": url,
        "bbox": str(box),
        "voxel_nm": list(size),
        "dtype": spec.dtype,
        "channels": spec.channels,
    }


def _about(source: str, foreign: Foreign, offset: Vec) -> dict[str, Any]:
    path = Path(split_name(source)[0])
    digest = file_digest(path) if path.is_file() else ""
    return {"ingested": {**foreign.about, "sha256": digest, "offset": list(offset)}}


def _spec(
    foreign: Foreign, kind: str | None, box: BBox, size: VoxelNm, chunk_vx: Vec, mips: int, about: dict[str, Any]
) -> LayerSpec:
    dtype, channels = _stored(foreign.dtype, foreign.where), foreign.shape_CZYX[0]
    guess = "segmentation" if dtype in ("uint32", "uint64") and channels == 1 else "image"
    chosen = {"affinity": "image", None: guess}.get(kind, kind)
    if chosen not in ("image", "segmentation"):
        raise ConfigError(f"--kind {kind!r}: choose image, segmentation or affinity")
    wide = chosen == "segmentation" and dtype in ("uint32", "uint64")
    encoding = "compressed_segmentation" if wide else "raw"
    return LayerSpec(chosen, dtype, channels, box, size, chunk_vx, encoding, "gzip", (FACTOR,) * mips, about)


def _stored(dtype: np.dtype[Any], where: str) -> str:
    if dtype == np.int64:
        return "uint64"
    if dtype == np.int32:
        return "uint32"
    if dtype.name not in ("uint8", "uint16", "uint32", "uint64", "float32"):
        raise ConfigError(f"{where}: is {dtype}; uint8 to uint64, int32, int64 and float32 are read")
    return dtype.name


def _plan(source: str, url: str, spec: LayerSpec, offset: Vec) -> Plan:
    chunk_vx = vec([c * n for c, n in zip(spec.chunk_vx, TASK_CHUNKS, strict=True)])
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
