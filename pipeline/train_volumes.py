"""What a network is trained on: boxes of files or layers, opened here and handed to the trainer as arrays."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emseg.pipeline.train_config import AffinityTraining, TrainingVolume, Triple
from emseg.pipeline.yamlfile import variables_of
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import ConfigError
from emseg.tasks.volume.foreign import file_digest, open_foreign, split_name
from emseg.tasks.volume.layer import open_layer
from emseg.tasks.volume.url import redacted

LEVELS = 255  # grey levels of a uint8 image


@dataclass(frozen=True)
class Opened:
    """A file or layer: how to read a box as [c, z, y, x]; sha256 of the file that it came from, and where that lies.

    `encoding` is how a layer's objects are stored, '' of a file.
    """

    where: str
    bounds: BBox
    read: Callable[[BBox], np.ndarray]
    digest: str
    offset: tuple[int, ...]
    encoding: str = ""


class ArrayVolume:
    """A box of a volume, in memory: image uint8 and labels, both [z, y, x]."""

    def __init__(self, image_ZYX: np.ndarray, labels_ZYX: np.ndarray) -> None:
        self.image_ZYX, self.labels_ZYX = image_ZYX, labels_ZYX

    @property
    def shape_ZYX(self) -> Triple:
        """Voxels."""
        z, y, x = self.image_ZYX.shape
        return (z, y, x)

    def sample(self, low_ZYX: Triple, size_ZYX: Triple) -> tuple[np.ndarray, np.ndarray]:
        """Image float32 in [0, 1] and labels int64 of a crop."""
        at = tuple(slice(a, a + n) for a, n in zip(low_ZYX, size_ZYX, strict=True))
        return self.image_ZYX[at].astype(np.float32) / LEVELS, self.labels_ZYX[at].astype(np.int64)


def opened(name: str, mip: int = 0) -> Opened:
    """A file (file.h5:dataset, .npy, TIFF, folder of sections) or a layer at a mip.

    Raises:
        ConfigError, LayerError: neither can be read.
    """
    if "://" in name or (Path(name) / "info").is_file():
        layer = open_layer(name, mip)
        source = layer.emseg.get("ingested") or {}
        digest, offset = str(source.get("sha256", "")), tuple(source.get("offset", (0, 0, 0)))
        return Opened(redacted(name), layer.bounds, layer.read, digest, offset, layer.scale.encoding)
    require_there(name)
    if mip:
        raise ConfigError(f"{name}: a file has no mips; ingest it, or leave out mip:")
    foreign = open_foreign(name)
    digest = file_digest(Path(split_name(name)[0]))
    return Opened(foreign.where, BBox.sized((0, 0, 0), foreign.size), foreign.read, digest, (0, 0, 0))


def require_volumes(config: Path, names: Iterable[str]) -> None:
    """Refuse files of a config that are not there; says from which environment variable it took their place."""
    for name in names:
        variables = variables_of(config, name)
        places = " and ".join(f"{v} ({os.environ.get(v) or 'not set'})" for v in variables)
        require_there(name, f"{config} takes its place from {places}: set that, or " if variables else "")


def require_there(name: str, hint: str = "") -> None:
    """Refuse a file or folder that is not there; `hint`: more of what to do."""
    path = split_name(name)[0]
    if "://" not in name and not Path(path).exists():
        allowed = "a layer, file.h5:dataset, a .npy, a TIFF stack or a folder of sections"
        raise ConfigError(f"{path}: does not exist; {hint}give {allowed}")


def part_of(volume: TrainingVolume, part: str) -> ArrayVolume:
    """The box `part`, "train" or "tune", of a volume.

    Raises:
        ConfigError: the box leaves the volume, or the image is not uint8.
    """
    box = BBox.of(*(volume.train if part == "train" else volume.tune))
    arrays = []
    for name in (volume.image, volume.labels):
        source = opened(name)
        if not source.bounds.holds(box):
            raise ConfigError(f"{source.where}: {part} box {box} leaves it; it holds {source.bounds}")
        array = source.read(box)
        if len(array) != 1:
            raise ConfigError(f"{source.where}: has {len(array)} channels; training takes one")
        arrays.append(array[0])
    if arrays[0].dtype != np.uint8:
        raise ConfigError(f"{volume.image}: is {arrays[0].dtype}; training takes uint8 images")
    return ArrayVolume(arrays[0], arrays[1])


def seen(config: AffinityTraining) -> list[dict[str, Any]]:
    """What a model has seen, for `evaluate` to refuse: boxes in the voxels of the files that the labels came from."""
    out: list[dict[str, Any]] = []
    for volume in config.volumes:
        source = opened(volume.labels)
        back = [-o for o in source.offset]
        for part, box in (("train", volume.train), ("tune", volume.tune)):
            bbox = BBox.of(*box).shifted(back).to_json()
            name = source.where.rsplit("/", 1)[-1]
            out.append({"name": name, "sha256": source.digest, "part": part, "bbox": [list(v) for v in bbox]})
    return out
