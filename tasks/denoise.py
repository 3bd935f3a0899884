"""Denoise one chunk: the network on windows of one fixed shape, on a global lattice; grey values in, grey values out.

Every window has the halo that its network reaches, so the inner part is what the whole volume in one window would give;
only at the source's own border is the image reflected. Grey levels are normalised by the model's constants alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from emseg.models.coding import grey_values
from emseg.models.spec import ModelSpec
from emseg.models.symmetry import averaged_images, section_views
from emseg.tasks.arrays.lattice import Network, infer
from emseg.tasks.base import Task
from emseg.tasks.context import Context
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.windows import lattice_of, model_key, require_device


@dataclass(frozen=True)
class Denoise(Task):
    """Noise taken from a core.

    Attributes:
        source: image layer.
        out: image layer of the dtype to write.
        model: sha256 of the denoiser's file, which the run keeps.
        low, high: grey values are clipped to these, then rounded half up (not rounded if the layer is float32).
        batch, threads, precision, device: fixed by the plan, never by the machine: they decide the last bits.
        tta: average over turns and flips of the sections.
        own_share: of a voxel's own value in its result, in [0, 1).
    """

    kind: ClassVar[str] = "denoise"

    source: str
    out: str
    model: str
    low: float = 0.0
    high: float = 255.0
    batch: int = 2
    threads: int = 1
    precision: str = "fp32"
    device: str = "cpu"
    tta: bool = False
    own_share: float = 0.0

    def execute(self, context: Context) -> None:
        """Read, denoise, round, write."""
        require_device(self.key, self.device, context)
        from emseg.tasks.network import held_memory, network, scaled  # torch: only workers that need one pay for it

        spec, predictor = network(context, model_key(self.model), self.model, self.precision, self.batch, self.threads)
        source, out = context.layer(self.source), context.layer(self.out)

        def read(box: BBox) -> np.ndarray:
            with context.record.phase("read"):
                return scaled(spec, source.read_ZYX(box))

        run = with_views(spec, predictor.predict) if self.tta else predictor.predict
        run = with_own(run, self.own_share) if self.own_share else run
        with context.record.phase("infer"), held_memory():
            output = infer(self.core, lattice_of(spec), read, source.bounds, run, channels=1, batch=self.batch)
        grey_CZYX = grey_values(spec, output, out.dtype, (self.low, self.high))
        clipped = (grey_CZYX == self.low) | (grey_CZYX == self.high)
        context.record.figures["clipped_share"] = float(clipped.mean())
        with context.record.phase("write"):
            out.write(self.core, grey_CZYX)


def with_views(spec: ModelSpec, predict: Network) -> Network:
    """A network averaged over the turns and flips that its windows, its voxels and its noise allow."""
    alike = spec.patch_vx[0] == spec.patch_vx[1] and spec.voxel_nm[0] == spec.voxel_nm[1]
    trained = spec.training.get("config", {})
    views = section_views(alike and trained.get("struct_axis") not in ("x", "y"))
    return lambda patches: averaged_images(predict, patches, views)


def with_own(predict: Network, share: float) -> Network:
    """A network's output mixed with the voxel's own value: the network never looked at it, so it tells something."""
    own = np.float32(share)
    return lambda patches: (1 - own) * predict(patches) + own * patches
