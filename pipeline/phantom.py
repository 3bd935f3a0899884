"""`emseg phantom`: EM-like tissue with dense truth, chunk by chunk from a seed; a terabyte needs no memory."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from emseg.pipeline.plan import Plan
from emseg.pipeline.runner import Watch
from emseg.pipeline.small import run_small
from emseg.pipeline.tier import Tier
from emseg.tasks.arrays.phantom import PhantomParams
from emseg.tasks.context import LayerRef
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.codes import require_coded
from emseg.tasks.volume.grid import Grid
from emseg.tasks.volume.info import LayerSpec
from emseg.tasks.volume.url import canonical_url, joined_url

STORAGE_VX = (64, 64, 64)
CHUNK_VX = (128, 128, 128)


def params_of(seed: int, everything: bool = False) -> PhantomParams:
    """Tissue of a seed: neurites alone, or with everything that breaks pipelines."""
    return PhantomParams.everything(seed) if everything else PhantomParams(seed)


def make_phantom(
    dest: str,
    box: BBox,
    params: PhantomParams,
    *,
    affinities: bool = False,
    workers: int = 1,
    watch: Watch = lambda tally: None,
) -> dict[str, Any]:
    """Make the layers `image` and `labels` (and `affinities`) below `dest`; returns their URLs.

    Args:
        dest: folder; the records of the work lie in it too.
        box: voxels to make; a larger box holds the same tissue.
        params: seed, voxel size and what is in the tissue.
        affinities: also uint8 affinities straight from the truth.
        workers: processes.
    """
    require_coded(box, "phantom box")
    root = canonical_url(dest)
    x, y, z = params.voxel_nm
    specs = {
        "image": LayerSpec("image", "uint8", 1, box, (x, y, z), STORAGE_VX),
        "labels": LayerSpec("segmentation", "uint64", 1, box, (x, y, z), STORAGE_VX, "compressed_segmentation", "gzip"),
    }
    if affinities:
        offsets = [[-1, 0, 0], [0, -1, 0], [0, 0, -1]]
        specs["affinities"] = LayerSpec(
            "image", "uint8", 3, box, (x, y, z), STORAGE_VX, "raw", "zstd", emseg={"offsets": offsets}
        )
    names = {name: name for name in specs}
    tier = Tier("phantom", "phantom", Grid(box, CHUNK_VX), {"params": asdict(params), **names})
    layers = {name: LayerRef(f"./layers/{name}") for name in specs}
    urls = {name: joined_url(root, "layers", name) for name in specs}
    run_small(Plan(layers, (tier,)), root, workers, watch, {urls[name]: spec for name, spec in specs.items()})
    return {"run": root, "bbox": str(box), **urls}
