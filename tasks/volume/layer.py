"""One mip of a precomputed layer. The only place where axes turn: stored and CloudVolume arrays are Fortran x, y, z, c,
ours are C-order [c, z, y, x] over the same bytes, so turning costs no copy.

Unsharded layers are read and written object by object, with CloudVolume's codecs: each stored object is fetched once,
hashed, decompressed under a budget and decoded. Sharded ones are read through CloudVolume. Written boxes are whole
storage chunks (cut by the layer's bounds only), so each object has one writer and nobody reads to write.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from cloudvolume import CloudVolume, chunks
from cloudvolume.exceptions import EmptyVolumeException

from emseg.tasks.volume.bbox import BBox, Vec
from emseg.tasks.volume.codec import decoded
from emseg.tasks.volume.compression import decompressed
from emseg.tasks.volume.errors import CorruptChunkError, LayerError
from emseg.tasks.volume.grid import Grid
from emseg.tasks.volume.info import LayerSpec, Scale, VoxelNm, new_info, parse_channels, parse_dtype, parse_scale
from emseg.tasks.volume.limits import CHUNK_SLACK_BYTES, INFO_BYTES, array_bytes
from emseg.tasks.volume.objects import Objects, Stored, sha256
from emseg.tasks.volume.url import redacted

FETCH_THREADS = 8  # requests in flight to a remote store


class Record(Protocol):
    """Where digests of what was read and written go."""

    def read(self, name: str, digest: str) -> None:
        """Note an object that was read."""

    def wrote(self, name: str, digest: str) -> None:
        """Note an object that was written."""


@dataclass
class Layer:
    """One mip of a layer; geometry x, y, z, arrays [c, z, y, x]."""

    objects: Objects
    info: Mapping[str, Any]
    mip: int = 0
    name: str = "layer"
    missing: str = "refuse"
    record: Record | None = None
    writable: bool = True
    absent: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.url = self.objects.url
        self.where = f"layer {redacted(self.url)}"
        self.scale: Scale = parse_scale(self.info, self.mip, self.where)
        self.dtype = parse_dtype(self.info, self.where)
        self.channels = parse_channels(self.info, self.where)
        self.kind = str(self.info.get("type", "image"))
        self.emseg: Mapping[str, Any] = self.info.get("emseg") or {}

    @property
    def bounds(self) -> BBox:
        """All voxels of this mip."""
        return self.scale.bounds

    @property
    def voxel_nm(self) -> VoxelNm:
        """Size of a voxel, x, y, z."""
        return self.scale.voxel_nm

    @property
    def chunk_vx(self) -> Vec:
        """Size of a storage chunk, x, y, z."""
        return self.scale.chunk_vx

    @property
    def storage_grid(self) -> Grid:
        """Storage chunks of this mip."""
        return Grid(self.bounds, self.chunk_vx)

    def read(self, box: BBox) -> np.ndarray:
        """Array [c, z, y, x] of a box inside the bounds.

        Raises:
            LayerError: the box leaves the bounds.
            CorruptChunkError: an object is absent (and `missing` is not 'zero'), torn or altered.
        """
        self._require_inside(box)
        shape = (self.channels, *box.shape_ZYX)
        array_bytes(shape, self.dtype.itemsize, f"{self.where} {box}")
        if self.scale.sharded:
            return self._read_sharded(box)
        out = np.zeros(shape, self.dtype)
        for core, stored in self._fetched(box):
            if stored is None:
                continue
            part = core.clipped(box)
            whole = self._decoded(core, stored)
            out[:, *part.slices_ZYX(box.min)] = whole[:, *part.slices_ZYX(core.min)]
        return out

    def read_ZYX(self, box: BBox) -> np.ndarray:
        """Array [z, y, x] of a layer with one channel."""
        if self.channels != 1:
            raise LayerError(f"{self.where}: has {self.channels} channels where one is expected")
        out: np.ndarray = self.read(box)[0]
        return out

    def write(self, box: BBox, array_CZYX: np.ndarray) -> None:
        """Write a box of whole storage chunks.

        Args:
            box: starts on the storage grid; ends on it or at the bounds.
            array_CZYX: [c, z, y, x] (or [z, y, x] for one channel) of the layer's dtype.
        """
        if not self.writable:
            raise LayerError(f"{self.where}: is outside the worker's --root and may only be read")
        array = array_CZYX if array_CZYX.ndim == 4 else array_CZYX[None]
        if array.shape != (self.channels, *box.shape_ZYX) or array.dtype != self.dtype:
            raise LayerError(
                f"{self.where}: cannot write {array.dtype}{list(array.shape)} to {box}, "
                f"which takes {self.dtype}{[self.channels, *box.shape_ZYX]}"
            )
        self._require_inside(box)
        compression = str(self.emseg.get("compression", "gzip"))
        for core in self._cores(box):
            if not box.holds(core):
                raise LayerError(f"{self.where}: box {box} cuts storage chunk {core}; write whole storage chunks")
            part = array[:, *core.slices_ZYX(box.min)]
            content = chunks.encode(np.asfortranarray(part.T), self.scale.encoding, block_size=self.scale.block_vx)
            digest = self.objects.put(self.object_key(core), bytes(content), compression)
            if self.record is not None:
                self.record.wrote(f"{self.name}/{self.object_key(core)}", digest)

    def object_key(self, core: BBox) -> str:
        """Key of the stored object of one storage chunk."""
        return f"{self.scale.key}/" + "_".join(f"{a}-{b}" for a, b in zip(core.min, core.max, strict=True))

    def object_keys(self, box: BBox | None = None) -> Iterator[str]:
        """Keys of the stored objects that meet a box (default: all)."""
        return (self.object_key(core) for core in self._cores(box or self.bounds))

    def at(self, mip: int) -> Layer:
        """The same layer at another mip."""
        return Layer(self.objects, self.info, mip, self.name, self.missing, self.record, self.writable)

    def _cores(self, box: BBox) -> Iterator[BBox]:
        grid = self.storage_grid
        return (grid.core(index) for index in grid.indices_meeting(box))

    def _require_inside(self, box: BBox) -> None:
        if not self.bounds.holds(box) or box.empty:
            raise LayerError(f"{self.where}: box {box} is not inside its bounds {self.bounds} at mip {self.mip}")

    def _fetched(self, box: BBox) -> Iterator[tuple[BBox, Stored | None]]:
        cores = list(self._cores(box))
        keys = [self.object_key(core) for core in cores]
        if self.url.startswith("file://"):
            found: Iterator[Stored | None] = map(self.objects.get_stored, keys)
            yield from zip(cores, map(self._noted, keys, found), strict=True)
            return
        with ThreadPoolExecutor(FETCH_THREADS) as pool:
            found = iter(pool.map(self.objects.get_stored, keys))
            yield from zip(cores, map(self._noted, keys, found), strict=True)

    def _noted(self, key: str, stored: Stored | None) -> Stored | None:
        if stored is None:
            if self.missing != "zero":
                raise CorruptChunkError(
                    f"{self.objects.where(key)} is missing; write it again, or set source.missing: zero if it may be"
                )
            self.absent += 1
        if self.record is not None:
            self.record.read(f"{self.name}/{key}", "absent" if stored is None else stored.digest)
        return stored

    def _decoded(self, core: BBox, stored: Stored) -> np.ndarray:
        where = self.objects.where(self.object_key(core))
        shape = (*core.size, self.channels)
        budget = math.prod(shape) * self.dtype.itemsize * 2 + CHUNK_SLACK_BYTES
        content = decompressed(stored.content, stored.encoding, budget, where)
        return decoded(content, self.scale.encoding, shape, self.dtype, self.scale.block_vx, where)

    def _read_sharded(self, box: BBox) -> np.ndarray:
        volume = CloudVolume(self.url, mip=self.mip, progress=False, fill_missing=self.missing == "zero")
        x, y, z = (slice(a, b) for a, b in zip(box.min, box.max, strict=True))
        try:
            array = np.asarray(volume[x, y, z])
        except EmptyVolumeException as error:
            raise CorruptChunkError(f"{self.where} {box}: an object is missing ({error})") from None
        if self.record is not None:
            self.record.read(f"{self.name}/{self.scale.key}/{box}", "decoded:" + sha256(array.tobytes("F")))
        return np.ascontiguousarray(array.T)


def open_layer(url: str, mip: int = 0, **options: Any) -> Layer:
    """Open a stored layer at one mip.

    Raises:
        LayerError: no `info`, or one that is not a precomputed layer.
    """
    objects = Objects(url)
    content = objects.get("info", INFO_BYTES)
    if content is None:
        raise LayerError(f"layer {redacted(objects.url)}: there is no info file; check the path, or ingest the volume")
    try:
        info = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise LayerError(f"layer {redacted(objects.url)}: info is not JSON ({error})") from None
    if not isinstance(info, dict):
        raise LayerError(f"layer {redacted(objects.url)}: info is not a JSON object")
    return Layer(objects, info, mip, **options)


def create_layer(url: str, spec: LayerSpec, **options: Any) -> Layer:
    """Create a layer, or open it if the same one is there.

    Raises:
        LayerError: another layer is there.
    """
    objects = Objects(url)
    info = new_info(spec)
    content = json.dumps(info, sort_keys=True, separators=(",", ":")).encode()
    if not objects.create("info", content):
        old = json.loads(objects.require("info", INFO_BYTES))
        if old != info:
            raise LayerError(f"layer {redacted(objects.url)} exists with another info; choose another place")
    return Layer(objects, info, **options)
