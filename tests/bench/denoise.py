"""Denoising: emseg's variants, filters and CAREamics on the same noisy crops; PSNR and SSIM against the clean crop.

python tests/bench/denoise.py row fib gaussian 20 emseg_n2v 0 [STEPS]   # one row: trains if it has to, stores it
python tests/bench/denoise.py filters fib gaussian 20 0                 # all rows without training
python tests/bench/denoise.py score fib gaussian 20 careamics 0 OUT.npy 'JSON'  # made elsewhere, and its facts
python tests/bench/denoise.py ship                                      # FIB rows of seed 0 become shipped weights
python tests/bench/denoise.py --quick                                   # scores shipped weights, trains nothing
python tests/bench/denoise.py                                           # the table of stored rows, and the bars

Seconds and voxels a second are those of one core.
Stored rows lie in tests/bench/denoise_rows.json, models below build/bench/denoise.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from denoise_data import (
    BATCH,
    DIMS,
    PATCH_ZYX,
    RECIPE,
    STEPS,
    STEPS_PER_EPOCH,
    THREADS,
    clean_crop,
    noisy_crop,
)
from denoise_filters import filters, psnr, ssim

from emseg.models.checkpoint import load, resolve
from emseg.models.coding import grey_values
from emseg.models.held_memory import held_memory
from emseg.models.predictor import Predictor, scaled
from emseg.tasks.arrays.lattice import infer
from emseg.tasks.denoise import with_own, with_views
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.windows import lattice_of

ROWS = Path(__file__).with_name("denoise_rows.json")
WORK = Path("build/bench/denoise")
WEIGHTS = Path("models/weights")
VARIANTS = {"emseg_n2v": "n2v", "emseg_n2v2": "n2v2", "emseg_structn2v": "structn2v"}
APPLIED = {"": {}, "_mixed": {"mixed": True}, "_tta": {"tta": True}, "_mixed_tta": {"mixed": True, "tta": True}}
KEY = ("volume", "noise", "sigma", "method", "seed")
SHOWN = (*KEY, "psnr_db", "ssim")
FEATURES = {"fib": 16, "isbi": 16}
TILE_VX = {"fib": [64, 64, 64], "isbi": [256, 256, 6]}
VOXEL_NM = {"fib": [10, 10, 10], "isbi": [4, 4, 50]}
ATTRIBUTION = {
    "fib": "Trained on FIB-25 (FlyEM / Janelia, CC BY): neuroproof_examples, training_sample1, with synthetic noise",
    "isbi": "ISBI 2012 challenge (Cardona et al. 2010)",
}
SHIPPED = {("gaussian", "emseg_n2v"), ("gaussian", "emseg_n2v2"), ("xcorr", "emseg_structn2v")}
QUICK_SIGMA, TOLERANCE_DB = 20.0, 0.1
Row = dict[str, Any]


def stored() -> list[Row]:
    """Rows of earlier runs."""
    return list(json.loads(ROWS.read_text())) if ROWS.exists() else []


def store(row: Row) -> None:
    """Keep a row, in place of an older one of the same key."""
    others = [r for r in stored() if any(r[k] != row[k] for k in KEY)]
    rows = sorted([*others, row], key=lambda r: tuple(str(r[k]) for k in KEY))
    ROWS.write_text("[\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]\n")


def row_of(volume: str, noise: str, sigma: float, method: str, seed: int, found: np.ndarray, **more: Any) -> Row:
    """A row of a result."""
    clean = clean_crop(volume)
    score = {"psnr_db": round(psnr(clean, found), 3), "ssim": round(ssim(clean, found), 4)}
    return dict(zip(KEY, (volume, noise, sigma, method, seed), strict=True)) | score | more


def trained(volume: str, noise: str, sigma: float, method: str, seed: int, steps: int) -> Path:
    """The model of a row; trains it on the noisy crop alone if it is not there."""
    from emseg.pipeline.train_denoise import train_denoise

    variant = VARIANTS[parted(method)[0]]
    folder = WORK / f"{volume}-{noise}-{sigma:g}-{variant}-{seed}-{steps}"
    name = f"fib25-{variant}" if volume == "fib" else f"isbi-{variant}"
    model = folder / f"{name}.safetensors"
    if model.exists():
        return model
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "noisy.npy", noisy_crop(volume, noise, sigma, seed))
    z, y, x = PATCH_ZYX[volume]
    config = {
        "name": name,
        "out": str(folder),
        "volumes": [{"image": str(folder / "noisy.npy")}],
        "voxel_nm": VOXEL_NM[volume],
        "attribution": ATTRIBUTION[volume],
        "variant": variant,
        "dims": DIMS[volume],
        "features": FEATURES[volume],
        "patch_vx": [x, y, z],
        "batch": BATCH[volume],
        "epochs": steps // STEPS_PER_EPOCH,
        "seed": seed,
        "tile_vx": TILE_VX[volume],
        **RECIPE,
    }
    if variant == "structn2v":
        config |= {"struct_axis": "x", "struct_span": 5}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    start = time.process_time()
    train_denoise(folder / "config.yaml", say=lambda line: print(line, flush=True))
    (folder / "seconds.json").write_text(json.dumps(round(time.process_time() - start, 1)))
    return model


def parted(method: str) -> tuple[str, dict[str, bool]]:
    """What is trained, and how it is applied: emseg_n2v_mixed is emseg_n2v with each voxel's own value mixed in."""
    trained_as = next(name for name in sorted(VARIANTS, key=len, reverse=True) if method.startswith(name))
    return trained_as, APPLIED[method.removeprefix(trained_as)]


def applied(model: Path, noisy: np.ndarray, mixed: bool = False, tta: bool = False) -> tuple[np.ndarray, float]:
    """The denoised crop, uint8, by the operator of the denoise stage; voxels per second."""
    spec, net = load(model)
    torch.set_num_threads(THREADS)
    box = BBox.sized((0, 0, 0), noisy.shape[::-1])
    run = with_views(spec, Predictor(net).predict) if tta else Predictor(net).predict
    run = with_own(run, spec.training["figures"]["own_share"]) if mixed else run

    def read(part: BBox) -> np.ndarray:
        return scaled(spec, noisy[part.slices_ZYX((0, 0, 0))])

    start = time.process_time()
    with held_memory():
        output = infer(box, lattice_of(spec), read, box, run, channels=1, batch=2)
    seconds = time.process_time() - start
    return grey_values(spec, output, np.dtype(np.uint8), (0, 255))[0], noisy.size / seconds


def network_row(volume: str, noise: str, sigma: float, method: str, seed: int, steps: int) -> Row:
    """Train, apply, score."""
    model = trained(volume, noise, sigma, method, seed, steps)
    found, speed = applied(model, noisy_crop(volume, noise, sigma, seed), **parted(method)[1])
    seconds = json.loads((model.parent / "seconds.json").read_text())
    more = {"steps": steps, "train_core_s": seconds, "voxels_per_s": round(speed)}
    return row_of(volume, noise, sigma, method, seed, found, **more)


def filter_rows(volume: str, noise: str, sigma: float, seed: int) -> list[Row]:
    """All rows that need no training."""
    rows = []
    noisy = noisy_crop(volume, noise, sigma, seed)
    for method, run in filters(volume, clean_crop(volume)).items():
        start = time.process_time()
        found = run(noisy)
        speed = noisy.size / max(1e-9, time.process_time() - start)
        more = {} if "oracle" in method or method == "noisy" else {"voxels_per_s": round(speed)}
        rows.append(row_of(volume, noise, sigma, method, seed, found, **more))
    return rows


def quick() -> list[Row]:
    """FIB rows measured now, with shipped weights; the rest from the stored table, marked."""
    rows = []
    for noise in ("gaussian", "xcorr"):
        rows += filter_rows("fib", noise, QUICK_SIGMA, 0)
    for noise, method in sorted(SHIPPED):
        model = resolve(f"fib25-{VARIANTS[method]}")
        found, speed = applied(model, noisy_crop("fib", noise, QUICK_SIGMA, 0))
        rows.append(row_of("fib", noise, QUICK_SIGMA, method, 0, found, voxels_per_s=round(speed)))
    measured = {tuple(r[k] for k in KEY) for r in rows}
    return [*rows, *({**r, "stored": True} for r in stored() if tuple(r[k] for k in KEY) not in measured)]


def table(rows: list[Row]) -> None:
    """Print rows, then what loses."""
    print(f"{'volume':<7}{'noise':<18}{'sigma':>5}  {'method':<19}{'seed':>4}{'PSNR dB':>9}{'SSIM':>8}{'voxels/s':>10}")
    for r in sorted(rows, key=lambda r: (r["volume"], r["noise"], r["sigma"], r["psnr_db"])):
        speed, mark = r.get("voxels_per_s", ""), "  stored" if r.get("stored") else ""
        print(
            f"{r['volume']:<7}{r['noise']:<18}{r['sigma']:>5g}  {r['method']:<19}{r['seed']:>4}"
            f"{r['psnr_db']:>9.2f}{r['ssim']:>8.3f}{speed:>10}{mark}"
        )
    for line in bars(rows):
        print(line)


def bars(rows: list[Row]) -> list[str]:
    """Every bar that can be judged, held or lost: means over the seeds that both have."""
    lines = []
    for volume, noise, sigma in sorted({(r["volume"], r["noise"], r["sigma"]) for r in rows}):
        here = [r for r in rows if (r["volume"], r["noise"], r["sigma"]) == (volume, noise, sigma)]
        psnr_db = {m: {r["seed"]: r["psnr_db"] for r in here if r["method"] == m} for m in {r["method"] for r in here}}
        emseg = sorted(method for method in psnr_db if method.startswith("emseg"))
        oracle = "gaussian3d_oracle" if volume == "fib" else "gaussian2d_oracle"
        judged = [(ours, theirs, -TOLERANCE_DB) for ours in emseg for theirs in ("careamics", "careamics_5")]
        judged += [(ours, theirs, 0.0) for ours in emseg for theirs in (oracle, "noisy")]
        if noise == "xcorr":
            judged.append(("emseg_structn2v", "emseg_n2v", 0.0))
        for ours, theirs, margin in judged:
            seeds = psnr_db.get(ours, {}).keys() & psnr_db.get(theirs, {}).keys()
            if seeds:
                gap = float(np.mean([psnr_db[ours][seed] - psnr_db[theirs][seed] for seed in seeds]))
                verdict = "held" if gap > margin or (margin and gap >= margin) else "LOST"
                of = f"{len(seeds)} seeds" if len(seeds) > 1 else "1 seed"
                lines.append(f"{verdict}: {volume} {noise} {sigma:g}: {ours} {gap:+.2f} dB against {theirs}, {of}")
    return lines


def ship() -> None:
    """Copy the FIB models of seed 0 into the package."""
    for noise, method in sorted(SHIPPED):
        model = trained("fib", noise, QUICK_SIGMA, method, 0, STEPS["fib"])
        shutil.copyfile(model, WEIGHTS / model.name)
        print(f"shipped {model.name}, {model.stat().st_size / 1e6:.2f} MB")


def main() -> None:
    """Run what the arguments say; the last line is JSON."""
    given = sys.argv[1:]
    rows = []
    if given == ["ship"]:
        ship()
        return
    if given[:1] == ["row"]:
        volume, noise, sigma, method, seed, *steps = given[1:]
        rows = [network_row(volume, noise, float(sigma), method, int(seed), int(steps[0]) if steps else STEPS[volume])]
    elif given[:1] == ["filters"]:
        volume, noise, sigma, seed = given[1:]
        rows = filter_rows(volume, noise, float(sigma), int(seed))
    elif given[:1] == ["score"]:
        volume, noise, sigma, method, seed, file, *about = given[1:]
        more = json.loads(about[0]) if about else {}
        rows = [row_of(volume, noise, float(sigma), method, int(seed), np.load(file), **more)]
    for row in rows:
        store(row)
    rows = rows or (quick() if given == ["--quick"] else [{**r, "stored": True} for r in stored()])
    table(rows)
    print(json.dumps({"rows": [{k: r[k] for k in (*SHOWN, "stored") if k in r} for r in rows]}))


if __name__ == "__main__":
    main()
