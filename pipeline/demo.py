"""`emseg demo`: a phantom, the shipped models, the whole chain, and its score; noisy and denoised if asked for."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from emseg.pipeline.config import RunConfig
from emseg.pipeline.evaluate import evaluate
from emseg.pipeline.phantom import make_phantom, params_of
from emseg.pipeline.planner import plan_run
from emseg.pipeline.progress import bars
from emseg.pipeline.runner import run_plan
from emseg.pipeline.thresholds import thresholds_of
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.url import canonical_url, joined_url

CHUNKS_A_SIDE = 3  # 27 chunks or more, so that every kind of border is met
STORAGE_VX = 32
NOISE_SIGMA = 20.0  # grey levels that --noisy adds


def run_demo(out: str, size_vx: int, *, seed: int, workers: int, noisy: bool = False) -> dict[str, Any]:
    """Make, predict, stitch, evaluate; what `emseg demo --json` prints, less the link.

    With `noisy` the image has noise, and is segmented as it is and denoised; the scores of the first are `as_it_is`.
    """
    start = time.perf_counter()
    root = canonical_url(out)
    box = BBox.sized((0, 0, 0), (size_vx,) * 3)
    params = replace(params_of(seed), detector_sigma=NOISE_SIGMA) if noisy else params_of(seed)
    with bars(f"phantom {root}") as watch:
        made = make_phantom(joined_url(root, "phantom"), box, params, workers=workers, watch=watch)
    as_it_is = {}
    if noisy:
        plain = demo_config(joined_url(root, "run-as-it-is"), made["image"], size_vx, workers, denoise=False)
        as_it_is = {"as_it_is": _segmented(plain, made["labels"])}
    config = demo_config(joined_url(root, "run"), made["image"], size_vx, workers, denoise=noisy)
    scores = _segmented(config, made["labels"])
    chunks = len(plan_run(config).plan.tier["fragment"].grid)
    seconds = round(time.perf_counter() - start, 1)
    return {**scores, **as_it_is, "chunks": chunks, "voxels": box.voxels, "seconds": seconds, "run": config.run}


def activation() -> str:
    """What to type so that the shell knows emseg; '' where it does, or where no virtual environment runs this."""
    if sys.prefix == sys.base_prefix or shutil.which("emseg"):
        return ""
    script = shlex.quote(os.path.relpath(Path(sys.prefix) / "bin" / "activate"))
    return f"next: source {script}, so that the shell knows emseg; the README goes on from there"


def demo_config(run: str, image: str, size_vx: int, workers: int, *, denoise: bool) -> RunConfig:
    """A run of 27 chunks or more, with the shipped models; a chunk may be one window, so none is padded to two."""
    chunk_vx = -(-size_vx // CHUNKS_A_SIDE // STORAGE_VX) * STORAGE_VX
    stage = {"chunk_vx": (chunk_vx,) * 3}
    return RunConfig.model_validate(
        {
            "run": run,
            "source": {"layer": image},
            "layers": {"chunk_vx": (STORAGE_VX,) * 3},
            "stages": {
                "predict": stage | {"batch": 1},
                "fragment": stage,
                "relabel": stage,
                **({"denoise": stage | {"batch": 1}} if denoise else {}),
            },
            "engine": {"workers": workers},
        }
    )


def _segmented(config: RunConfig, truth: str) -> dict[str, Any]:
    """Run a config and score it."""
    planned = plan_run(config)
    run, _ = planned.stored(config.run)
    with bars(f"run {run.url}", *thresholds_of(planned.plan)) as watch:
        run_plan(planned.plan, run, config.engine, watch)
    found = evaluate(joined_url(run.url, "layers", "segmentation"), truth, workers=config.engine.workers)
    return {key: found[key] for key in ("vi_split", "vi_merge", "adapted_rand_error", "convention")}
