"""Predict affinities of one chunk: network inference on the global patch lattice, stored as uint8 codes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from emseg.models.coding import encode
from emseg.models.symmetry import averaged, views_of
from emseg.tasks.arrays.lattice import infer
from emseg.tasks.arrays.levels import stretched
from emseg.tasks.base import Task
from emseg.tasks.context import Context
from emseg.tasks.exclusion import Exclusion
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import ConfigError, CorruptChunkError
from emseg.tasks.volume.limits import SMALL_OBJECT_BYTES
from emseg.tasks.volume.objects import sha256
from emseg.tasks.windows import lattice_of, model_key, require_device

NEAREST = 3  # channels that join a voxel to its x−1, y−1, z−1 neighbour


def levels_key(digest: str) -> str:
    """Where a run keeps grey levels."""
    return f"levels/{digest}.json"


@dataclass(frozen=True)
class Predict(Task):
    """Network inference over a core.

    Attributes:
        source: image layer.
        out: affinity layer, uint8 codes [c, z, y, x].
        model: sha256 of the model's file, which the run keeps.
        batch, threads, precision, device: fixed by the plan, never by the machine: they decide the last bits.
        tta: views of test-time augmentation, "none", "flips" or "all".
        levels: digest of the table of grey levels that normalises the source; '' for the model's constants alone.
        exclusion: excluded voxels are stored as 0.
    """

    kind: ClassVar[str] = "predict"
    version: ClassVar[int] = 2

    source: str
    out: str
    model: str
    batch: int = 2
    threads: int = 1
    precision: str = "fp32"
    device: str = "cpu"
    tta: str = "none"
    levels: str = ""
    exclusion: Exclusion = field(default_factory=Exclusion)

    def execute(self, context: Context) -> None:
        """Read, infer, encode, write."""
        require_device(self.key, self.device, context)
        out = context.layer(self.out)
        excluded = self.exclusion.of(context, self.core)
        if excluded is not None and excluded.all():
            out.write(self.core, np.zeros((out.channels, *self.core.shape_ZYX), np.uint8))
            return
        codes_CZYX = self._codes(context)
        nearest = codes_CZYX[:NEAREST] if excluded is None else codes_CZYX[:NEAREST, ~excluded]
        context.record.figures["nearest_top_code_share"] = float((nearest == 255).mean())
        if excluded is not None:
            codes_CZYX[:, excluded] = 0
        with context.record.phase("write"):
            out.write(self.core, codes_CZYX)

    def _codes(self, context: Context) -> np.ndarray:
        from emseg.tasks.network import held_memory, network, scaled  # torch: only workers that predict pay for it

        spec, predictor = network(context, model_key(self.model), self.model, self.precision, self.batch, self.threads)
        views = views_of(self.tta)
        source = context.layer(self.source)
        levels = _levels(context, self.levels) if self.levels else None

        def read(box: BBox) -> np.ndarray:
            with context.record.phase("read"):
                raw = source.read_ZYX(box)
                return scaled(spec, raw if levels is None else stretched(raw, *_section_levels(levels, box)))

        def logits(patches: np.ndarray) -> np.ndarray:
            return averaged(predictor.predict, patches, spec.offsets, views)

        with context.record.phase("infer"), held_memory():
            logits_CZYX = infer(
                self.core,
                lattice_of(spec),
                read,
                source.bounds,
                predictor.predict if len(views) == 1 else logits,
                channels=len(spec.offsets),
                batch=self.batch,
            )
        return encode(spec, logits_CZYX)


def _levels(context: Context, digest: str) -> dict[str, Any]:
    key = levels_key(digest)
    content = context.get_object(key, SMALL_OBJECT_BYTES)
    if sha256(content) != digest:
        raise CorruptChunkError(f"{context.run.where(key)} was altered; plan again to restore it")
    return dict(json.loads(content))


def _section_levels(levels: dict[str, Any], box: BBox) -> tuple[np.ndarray, np.ndarray]:
    """Levels low and high of each z of a box."""
    table, sections = levels["levels"], range(box.min[2], box.max[2])
    if levels["kind"] == "global":
        return np.full(len(sections), table["low"]), np.full(len(sections), table["high"])
    try:
        low, high = zip(*(table["sections"][str(z)][:2] for z in sections), strict=True)
    except KeyError as error:
        raise ConfigError(f"the levels lack section z = {error}; run `emseg stats` over the whole source") from None
    return np.array(low), np.array(high)
