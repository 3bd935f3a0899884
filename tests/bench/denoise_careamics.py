"""One row of CAREamics, in its own environment (it pulls another torch). Writes an .npy that `denoise.py` scores.

python -m venv careamics && careamics/bin/pip install careamics h5py scipy  # or without its torchvision
careamics/bin/python tests/bench/denoise_careamics.py fib gaussian 20 0 2000 OUT.npy
then: python tests/bench/denoise.py score fib gaussian 20 careamics 0 OUT.npy 'ITS LAST LINE'

Its defaults (32 features, Adam with rate 0.001), on the same crop, patches, batch, precision and number of steps. A
seventh argument is the share of masked pixels in percent: its default, 0.2, or emseg's in this bench, 5 (scored as
`careamics_5`). Run it with OMP_NUM_THREADS=1: its seconds are those of one core.
Its epochs are as long as the crop has patches, so the patience of its schedule is given in as many steps as ours has.
Written against careamics 0.3.5.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import sys
import time
import types
from importlib.metadata import version

import numpy as np
from denoise_data import BATCH, DIMS, PATCH_ZYX, PRECISION, STEPS_PER_EPOCH, noisy_crop

VALIDATION = 8  # patches, its default
PATIENCE_STEPS = 10 * STEPS_PER_EPOCH


def without_torchvision() -> None:
    """Where torchvision is absent (it pins another torch), empty modules do: only CAREamics' LVAE uses it."""
    if importlib.util.find_spec("torchvision") is not None:
        return
    importlib.import_module("torchmetrics")
    for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.functional"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["torchvision"].__version__ = "0"  # type: ignore[attr-defined]


def main() -> None:
    """Train on the noisy crop, predict it, store the result; print versions and seconds as JSON."""
    volume, noise, sigma, seed, steps, out, *share = sys.argv[1:]
    without_torchvision()
    careamics = importlib.import_module("careamics")
    factory = importlib.import_module("careamics.config.factories.n2v_factory")
    noisy = noisy_crop(volume, noise, float(sigma), int(seed)).astype(np.float32)
    patch = PATCH_ZYX[volume][3 - DIMS[volume] :]
    epoch = max(1, (math.prod(noisy.shape) // math.prod(patch) - VALIDATION) // BATCH[volume])
    config = factory.create_advanced_n2v_config(
        experiment_name="bench",
        data_type="array",
        axes="ZYX" if DIMS[volume] == 3 else "SYX",
        patch_size=list(patch),
        batch_size=BATCH[volume],
        num_epochs=-(-int(steps) // epoch) + 1,
        n_val_patches=VALIDATION,
        masked_pixel_percentage=float(share[0]) if share else 0.2,
        num_workers=0,
        trainer_params={"max_steps": int(steps), "precision": PRECISION},
        lr_scheduler_params={"patience": -(-PATIENCE_STEPS // epoch)},
        seed=int(seed) + 1,  # it takes none of 0
    )
    trainer = careamics.CAREamist(config, work_dir=out + ".work", enable_progress_bar=False)
    start = time.process_time()
    trainer.train(train_data=noisy)
    trained = time.process_time()
    found = np.asarray(trainer.predict(noisy)[0]).reshape(noisy.shape)
    done = time.process_time()
    np.save(out, found)
    versions = {name: version(name) for name in ("careamics", "torch", "numpy")}
    speed = round(noisy.size / (done - trained))
    print(
        json.dumps(
            {
                "steps": int(steps),
                "batch": BATCH[volume],
                "train_core_s": round(trained - start, 1),
                "voxels_per_s": speed,
                **versions,
            }
        )
    )


if __name__ == "__main__":
    main()
