"""One mip of a precomputed layer. The only place where axes turn: stored and CloudVolume arrays are Fortran x, y, z, c,
ours are C-order [c, z, y, x] over the same bytes, so turning costs no copy.

Unsharded layers are read and written object by object, with CloudVolume's codecs: each stored object is fetched once,
hashed, decompressed under a budget and decoded. Sharded ones are read through CloudVolume. Written boxes are whole
storage chunks (cut by the layer's bounds only), so each object has one writer and nobody reads to write.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np
from cloudvolume import CloudVolume, chunks
from cloudvolume.exceptions import DecodingError, EmptyVolumeException, InfoError, SpecViolation

from emseg.tasks.volume.bbox import BBox, Vec
from emseg.tasks.volume.codec import content_bytes, decoded
from emseg.tasks.volume.compression import decompressed
from emseg.tasks.volume.errors import CorruptChunkError, LayerError
from emseg.tasks.volume.grid import Grid
from emseg.tasks.volume.info import (
    LayerSpec,
    Scale,
    VoxelNm,
    new_info,
    parse_channels,
    parse_dtype,
    parse_emseg,
    parse_scale,
)
from emseg.tasks.volume.limits import INFO_BYTES, array_bytes
from emseg.tasks.volume.objects import Objects, Stored, sha256
from emseg.tasks.volume.url import redacted

FETCH_THREADS = 8  # requests in flight to a remote store
PUT_THREADS = 8  # puts in flight, to a disk too: most of one is a wait for its fsync
UNREADABLE_SHARD = (ValueError, TypeError, LookupError, AttributeError, InfoError, SpecViolation, DecodingError)


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
        self.emseg = parse_emseg(self.info, self.where)

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

    def read(self, box: BBox, channels: Sequence[int] | None = None) -> np.ndarray:
        """Array [c, z, y, x] of a box inside the bounds: of all channels, or of those given, in their order.

        Raises:
            LayerError: the box leaves the bounds.
            CorruptChunkError: an object is absent (and `missing` is not 'zero'), torn or altered.
        """
        self._require_inside(box)
        chosen = range(self.channels) if channels is None else channels
        shape = (len(chosen), *box.shape_ZYX)
        array_bytes(shape, self.dtype.itemsize, f"{self.where} {box}")
        if self.scale.sharded:
            return self._read_sharded(box, chosen)
        out = np.zeros(shape, self.dtype)
        for core, stored in self._fetched(box):
            if stored is None:
                continue
            part = core.clipped(box)
            whole = self._decoded(core, stored)
            for place, channel in enumerate(chosen):
                out[place, *part.slices_ZYX(box.min)] = whole[channel, *part.slices_ZYX(core.min)]
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
        for core in self._cores(box):
            if not box.holds(core):
                raise LayerError(f"{self.where}: box {box} cuts storage chunk {core}; write whole storage chunks")
        self._put_all((self.object_key(core), self._encoded(array, core, box)) for core in self._cores(box))

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

    def _encoded(self, array_CZYX: np.ndarray, core: BBox, box: BBox) -> bytes:
        part = array_CZYX[:, *core.slices_ZYX(box.min)]
        return bytes(chunks.encode(np.asfortranarray(part.T), self.scale.encoding, block_size=self.scale.block_vx))

    def _put_all(self, contents: Iterable[tuple[str, bytes]]) -> None:
        """Put side by side, a bounded number at once; digests are noted in order, and the first failure is raised
        once nothing is in flight."""
        compression, failures = str(self.emseg.get("compression", "gzip")), list[BaseException]()
        flying: deque[tuple[str, Future[str]]] = deque()
        with ThreadPoolExecutor(PUT_THREADS) as pool:
            for key, content in contents:
                flying.append((key, pool.submit(self.objects.put, key, content, compression)))
                if len(flying) > 2 * PUT_THREADS:
                    failures += self._landed(*flying.popleft())
                if failures:
                    break
            for key, future in flying:
                failures += self._landed(key, future)
        if failures:
            raise failures[0]

    def _landed(self, key: str, future: Future[str]) -> list[BaseException]:
        error = future.exception()
        if error is None and self.record is not None:
            self.record.wrote(f"{self.name}/{key}", future.result())
        return [] if error is None else [error]

    def _fetched(self, box: BBox) -> Iterator[tuple[BBox, Stored | None]]:
        cores = list(self._cores(box))
        keys = [self.object_key(core) for core in cores]
        fetch = partial(self.objects.get_stored, budget_bytes=self._budget_bytes(self.chunk_vx))
        if self.url.startswith("file://"):
            found: Iterator[Stored | None] = map(fetch, keys)
            yield from zip(cores, map(self._noted, keys, found), strict=True)
            return
        with ThreadPoolExecutor(FETCH_THREADS) as pool:
            found = iter(pool.map(fetch, keys))
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
        content = decompressed(stored.content, stored.encoding, self._budget_bytes(core.size), where)
        return decoded(content, self.scale.encoding, shape, self.dtype, self.scale.block_vx, where)

    def _budget_bytes(self, size_vx: Vec) -> int:
        return content_bytes(self.scale.encoding, (*size_vx, self.channels), self.dtype.itemsize, self.scale.block_vx)

    def _read_sharded(self, box: BBox, channels: Sequence[int]) -> np.ndarray:
        x, y, z = (slice(a, b) for a, b in zip(box.min, box.max, strict=True))
        zero = self.missing == "zero"
        try:
            volume = CloudVolume(self.url, mip=self.mip, info=dict(self.info), progress=False, fill_missing=zero)
            array = np.asarray(volume[x, y, z])
        except EmptyVolumeException as error:
            raise CorruptChunkError(f"{self.where} {box}: an object is missing ({error})") from None
        except UNREADABLE_SHARD as error:
            raise LayerError(
                f"{self.where} {box}: sharded objects cannot be read ({error}); mend info or objects"
            ) from None
        if self.record is not None:
            self.record.read(f"{self.name}/{self.scale.key}/{box}", "decoded:" + sha256(array.tobytes("F")))
        return np.ascontiguousarray(array.T[list(channels)])


def open_layer(url: str, mip: int = 0, **options: Any) -> Layer:
    """Open a stored layer at one mip.

    Raises:
        LayerError: no `info`, or one that is not a precomputed layer.
    """
    objects = Objects(url)
    content = objects.get("info", INFO_BYTES)
    if content is None:
        raise LayerError(f"layer {redacted(objects.url)}: there is no info file; check the path, or ingest the volume")
    return Layer(objects, _parsed(content, f"layer {redacted(objects.url)}"), mip, **options)


def create_layer(url: str, spec: LayerSpec, **options: Any) -> Layer:
    """Create a layer, or open it if the same one is there.

    Raises:
        LayerError: another layer is there, or a torn one.
    """
    objects = Objects(url)
    info = new_info(spec)
    content = json.dumps(info, sort_keys=True, separators=(",", ":")).encode()
    where = f"layer {redacted(objects.url)}"
    if not objects.create("info", content) and _parsed(objects.require("info", INFO_BYTES), where) != info:
        raise LayerError(f"{where} exists with another info; choose another place")
    return Layer(objects, info, **options)


def _parsed(content: bytes, where: str) -> dict[str, Any]:
    try:
        info = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise LayerError(f"{where}: info is not JSON ({error}); write it again") from None
    if not isinstance(info, dict):
        raise LayerError(f"{where}: info is not a JSON object; write it again")
    return info
