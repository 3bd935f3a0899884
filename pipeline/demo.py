"""`emseg demo`: a phantom, the shipped model, the whole chain, and its score."""

from __future__ import annotations

import time
from typing import Any

from emseg.pipeline.config import RunConfig
from emseg.pipeline.evaluate import evaluate
from emseg.pipeline.phantom import make_phantom, params_of
from emseg.pipeline.planner import plan_run
from emseg.pipeline.progress import bars
from emseg.pipeline.runner import run_plan
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.url import canonical_url, joined_url

CHUNKS_A_SIDE = 3  # 27 chunks or more, so that every kind of border is met
STORAGE_VX = 32


def run_demo(out: str, size_vx: int, *, seed: int, workers: int) -> dict[str, Any]:
    """Make, predict, stitch, evaluate; what `emseg demo --json` prints, less the link."""
    start = time.perf_counter()
    root = canonical_url(out)
    box = BBox.sized((0, 0, 0), (size_vx,) * 3)
    with bars(f"phantom {root}") as watch:
        made = make_phantom(joined_url(root, "phantom"), box, params_of(seed), workers=workers, watch=watch)
    chunk_vx = -(-size_vx // CHUNKS_A_SIDE // STORAGE_VX) * STORAGE_VX
    stage = {"chunk_vx": (chunk_vx,) * 3}
    config = RunConfig.model_validate(
        {
            "run": joined_url(root, "run"),
            "source": {"layer": made["image"]},
            "layers": {"chunk_vx": (STORAGE_VX,) * 3},
            "stages": {"predict": stage, "fragment": stage, "relabel": stage},
            "engine": {"workers": workers},
        }
    )
    planned = plan_run(config)
    run, _ = planned.stored(config.run)
    with bars(f"run {run.url}") as watch:
        run_plan(planned.plan, run, config.engine, watch)
    scores = evaluate(joined_url(run.url, "layers", "segmentation"), made["labels"], workers=workers)
    return {
        "vi_split": scores["vi_split"],
        "vi_merge": scores["vi_merge"],
        "adapted_rand_error": scores["adapted_rand_error"],
        "convention": scores["convention"],
        "chunks": len(planned.plan.tier["fragment"].grid),
        "voxels": box.voxels,
        "seconds": round(time.perf_counter() - start, 1),
        "run": run.url,
    }
