"""The `info` file of a precomputed layer: what emseg reads from one, and how it writes its own.

Our own layers carry an `emseg` object in `info`: compression of their objects, and for affinities the offsets, the
table code -> weight, the activation and the model's hash.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from cloudvolume import CloudVolume

from emseg.tasks.volume.bbox import BBox, Vec, vec
from emseg.tasks.volume.errors import LayerError

VoxelNm = tuple[float, float, float]
BLOCK_SIZE = "compressed_segmentation_block_size"
BLOCK_SIDE_VX = 64  # longest side of such a block
COMPRESSIONS = ("gzip", "zstd", "")
TABLE_CODES, TABLE_TOP = 256, 65535


@dataclass(frozen=True)
class Scale:
    """One mip of a layer."""

    key: str
    bounds: BBox
    chunk_vx: Vec
    voxel_nm: VoxelNm
    encoding: str
    block_vx: Vec
    sharded: bool


@dataclass(frozen=True)
class LayerSpec:
    """What a new layer is to be. `factors` are the x, y, z reductions of each further mip against the one before."""

    kind: str
    dtype: str
    channels: int
    bbox: BBox
    voxel_nm: VoxelNm
    chunk_vx: Vec
    encoding: str = "raw"
    compression: str = "gzip"
    factors: tuple[Vec, ...] = ()
    emseg: Mapping[str, Any] = field(default_factory=dict)


def reduced(box: BBox, factor: Vec) -> BBox:
    """Box of the voxels that cover `box` after reduction by `factor`: floor below, ceiling above."""
    return BBox(
        vec([a // f for a, f in zip(box.min, factor, strict=True)]),
        vec([-(-b // f) for b, f in zip(box.max, factor, strict=True)]),
    )


def new_info(spec: LayerSpec) -> dict[str, Any]:
    """`info` of a new layer, every mip in it from the start."""
    scales: list[dict[str, Any]] = []
    box, voxel_nm, info = spec.bbox, list(spec.voxel_nm), {}
    for factor in ((1, 1, 1), *spec.factors):
        box = reduced(box, factor)
        voxel_nm = [_plain(n * f) for n, f in zip(voxel_nm, factor, strict=True)]
        info = CloudVolume.create_new_info(
            num_channels=spec.channels,
            layer_type=spec.kind,
            data_type=spec.dtype,
            encoding=spec.encoding,
            resolution=voxel_nm,
            voxel_offset=list(box.min),
            volume_size=list(box.size),
            chunk_size=list(spec.chunk_vx),
        )
        scales += info["scales"]
    info["scales"] = scales
    info["emseg"] = {"compression": spec.compression, **spec.emseg}
    return json.loads(json.dumps(info))  # type: ignore[no-any-return]


def _plain(value: float) -> float:
    return int(value) if float(value).is_integer() else value


def parse_scale(info: Mapping[str, Any], mip: int, where: str) -> Scale:
    """One mip of an `info`; it is half-trusted, so every number is checked."""
    scales = _get(info, "scales", where)
    if not isinstance(scales, list) or not all(isinstance(s, dict) for s in scales):
        raise LayerError(f"{where}: scales must be a list of objects; it is no precomputed layer that emseg can read")
    if not 0 <= mip < len(scales):
        raise LayerError(f"{where}: has no mip {mip}; it has {len(scales)} mips, numbered from 0")
    raw = scales[mip]
    key = str(_get(raw, "key", where))
    if key.startswith("/") or ".." in key.split("/"):
        raise LayerError(f"{where}: scale key {key!r} leaves the layer; refuse it")
    sizes = _get(raw, "chunk_sizes", where)
    x, y, z = _numbers("resolution", _get(raw, "resolution", where), where, positive=True)
    return Scale(
        key=key,
        bounds=BBox.sized(
            _triple("voxel_offset", raw.get("voxel_offset", [0, 0, 0]), where),
            _triple("size", _get(raw, "size", where), where, positive=True),
        ),
        chunk_vx=_triple("chunk_sizes", sizes[0] if isinstance(sizes, list) and sizes else sizes, where, positive=True),
        voxel_nm=(x, y, z),
        encoding=str(_get(raw, "encoding", where)),
        block_vx=_block(raw.get(BLOCK_SIZE, [8, 8, 8]), where),
        sharded=_sharded(raw.get("sharding"), where),
    )


def parse_channels(info: Mapping[str, Any], where: str) -> int:
    """Number of channels of a layer."""
    count = info.get("num_channels", 1)
    if type(count) is not int or count < 1:
        raise LayerError(f"{where}: num_channels {count!r} must be an integer of at least 1")
    return count


def parse_emseg(info: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """The `emseg` object of a layer, {} if it has none; `compression`, `offsets` and `table` are checked."""
    found = info.get("emseg")
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise LayerError(f"{where}: emseg {found!r} must be an object; mend the info file")
    if found.get("compression", "gzip") not in COMPRESSIONS:
        raise LayerError(f"{where}: emseg.compression {found['compression']!r} must be gzip, zstd or ''")
    _require_offsets(found.get("offsets"), where)
    _require_table(found.get("table"), where)
    return found


def _require_offsets(offsets: Any, where: str) -> None:
    if offsets is None:
        return
    if not isinstance(offsets, list):
        raise LayerError(f"{where}: emseg.offsets {offsets!r} must be a list of x, y, z offsets, one a channel")
    for offset in offsets:
        _triple("an offset of emseg.offsets", offset, where)


def _require_table(table: Any, where: str) -> None:
    if table is None:
        return
    plain = isinstance(table, list) and len(table) == TABLE_CODES and all(type(w) is int for w in table)
    if not plain or not 0 <= table[0] <= table[-1] <= TABLE_TOP or table != sorted(table):
        raise LayerError(f"{where}: emseg.table must be {TABLE_CODES} integers in 0..{TABLE_TOP} that never fall")


def _block(values: Any, where: str) -> Vec:
    block_vx = _triple(BLOCK_SIZE, values, where, positive=True)
    if max(block_vx) > BLOCK_SIDE_VX:
        raise LayerError(f"{where}: {BLOCK_SIZE} {values!r} must be at most {BLOCK_SIDE_VX} on each axis")
    return block_vx


def _sharded(sharding: Any, where: str) -> bool:
    if sharding is not None and not isinstance(sharding, dict):
        raise LayerError(f"{where}: sharding {sharding!r} must be an object; mend the info file")
    return sharding is not None


def parse_dtype(info: Mapping[str, Any], where: str) -> np.dtype[Any]:
    """Data type of a layer."""
    name = str(_get(info, "data_type", where)).lower()
    allowed = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32")
    if name not in allowed:
        raise LayerError(f"{where}: data type {name!r} is not one of {', '.join(allowed)}")
    return np.dtype(name)


def _get(raw: Mapping[str, Any], key: str, where: str) -> Any:
    if key not in raw:
        raise LayerError(f"{where}: info lacks {key!r}; it is no precomputed layer that emseg can read")
    return raw[key]


def _numbers(key: str, values: Any, where: str, *, positive: bool) -> tuple[float, float, float]:
    plain = isinstance(values, list | tuple) and len(values) == 3 and all(type(v) in (int, float) for v in values)
    if not plain or not all(math.isfinite(v) and (v > 0 or not positive) for v in values):
        kind = "positive numbers" if positive else "numbers"
        raise LayerError(f"{where}: {key} {values!r} must be three {kind} x, y, z")
    x, y, z = values
    return (x, y, z)


def _triple(key: str, values: Any, where: str, *, positive: bool = False) -> Vec:
    numbers = _numbers(key, values, where, positive=positive)
    if any(int(v) != v for v in numbers):
        raise LayerError(f"{where}: {key} {values!r} must be three integers x, y, z")
    return vec([int(v) for v in numbers])
