"""Speed of the phantom on one core: python tests/bench/phantom.py [side]; a table, then one JSON object."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

from emseg.tasks.arrays.phantom import PhantomParams, phantom, phantom_affinities
from emseg.tasks.volume.bbox import BBox

RUNS = 3


def best_rate(make: Callable[[BBox], object], box: BBox) -> float:
    """Megavoxels per second of CPU, best of three after a first call that compiles."""
    make(BBox.sized(box.min, (8, 8, 8)))
    seconds = []
    for _ in range(RUNS):
        start = time.process_time()
        make(box)
        seconds.append(time.process_time() - start)
    return box.voxels / min(seconds) / 1e6


def main() -> None:
    """Measure image with labels, and affinities, plain and with everything."""
    side = int(sys.argv[1]) if len(sys.argv) > 1 else 128
    box = BBox.sized((64, 64, 64), (side, side, side))
    rates = {}
    for name, params in (("plain", PhantomParams()), ("everything", PhantomParams.everything())):
        rates[f"image_labels_{name}"] = best_rate(lambda b, p=params: phantom(b, p), box)
        rates[f"affinities_{name}"] = best_rate(lambda b, p=params: phantom_affinities(b, p), box)
    for name, rate in rates.items():
        print(f"{name:26s} {rate:6.2f} Mvx/s")
    print(json.dumps({"side_vx": side, "mvx_per_s": rates}))


if __name__ == "__main__":
    main()
