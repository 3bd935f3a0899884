"""Denoising does not see the grid: any chunks, any shape, any depth, the same bytes; and the same as the whole at once.

Two negative controls must fail: a halo short by 4, and a lattice whose step is no multiple of 2^depth.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from denoisers import denoise_spec, exact_network, saved_denoiser
from tiny import tiny_model

from emseg.models.denoise_unet import DenoiseShape
from emseg.models.predictor import Predictor
from emseg.pipeline.config import RunConfig
from emseg.pipeline.execute import execute
from emseg.pipeline.planner import plan_run
from emseg.pipeline.receipts import Ledger
from emseg.tasks.arrays.lattice import infer
from emseg.tasks.context import Context, LayerRef
from emseg.tasks.denoise import Denoise
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.grid import Grid
from emseg.tasks.volume.info import LayerSpec
from emseg.tasks.volume.layer import Layer, create_layer, open_layer
from emseg.tasks.volume.objects import Objects, sha256
from emseg.tasks.windows import lattice_of, model_key

LARGE, SMALL = BBox.sized((-7, 5, 3), (97, 131, 61)), BBox.sized((11, -6, 0), (61, 45, 37))
CASES = [
    (2, 1, LARGE, (32, 32, 16), False, (32, 48, 64, 256)),
    (3, 1, LARGE, (64, 64, 32), False, (48, 256)),
    (2, 2, SMALL, (32, 64, 16), True, (32, 48, 64, 256)),
    (3, 2, SMALL, (32, 32, 32), False, (32, 48, 64, 256)),
    (2, 3, SMALL, (64, 64, 8), False, (32, 256)),
    (3, 3, SMALL, (64, 64, 64), False, (48, 256)),
]


def image_layer(url: str, box: BBox, values_ZYX: np.ndarray | None = None) -> Layer:
    """A noisy image with steps in it."""
    layer = create_layer(url, LayerSpec("image", "uint8", 1, box, (10, 10, 10), (32, 32, 32)))
    if values_ZYX is None:
        rng = np.random.default_rng(0)
        steps = rng.integers(60, 200, [-(-n // 8) for n in box.shape_ZYX]).repeat(8, 0).repeat(8, 1).repeat(8, 2)
        z, y, x = box.shape_ZYX
        values_ZYX = np.clip(steps[:z, :y, :x] + rng.normal(0, 20, box.shape_ZYX), 0, 255).astype(np.uint8)
    layer.write(box, values_ZYX)
    return layer


def denoised(
    folder: Path, source: Layer, model: str, chunk_vx: tuple[int, int, int], own_share: float = 0.0
) -> dict[str, bytes]:
    """Stored objects of a source denoised in chunks, each chunk a task."""
    run = Objects(str(folder / "run"))
    content = Path(model).read_bytes()
    run.put(model_key(sha256(content)), content)
    out = create_layer(str(folder / "out"), LayerSpec("image", "uint8", 1, source.bounds, (10, 10, 10), (16, 16, 16)))
    refs = {"source": LayerRef(source.url), "out": LayerRef(out.url)}
    grid = Grid(source.bounds, chunk_vx)
    for index in grid.indices():
        task = Denoise(f"denoise/{index}", grid.core(index), "source", "out", sha256(content), own_share=own_share)
        task.execute(Context(refs, run))
    found = {key: out.objects.get_stored(key) for key in out.object_keys()}
    return {key: stored.content for key, stored in found.items() if stored is not None}


@pytest.mark.parametrize(("dims", "depth", "box", "tile", "n2v2", "sides"), CASES)
def test_no_chunk_shows_in_a_denoised_layer(tmp_path, dims, depth, box, tile, n2v2, sides):
    """Chunks of 32, 48, 64 and one chunk over an odd box: byte-identical objects."""
    model = saved_denoiser(tmp_path, denoise_spec(dims, depth, tile, n2v2, features=1 if depth == 3 else 2))
    source = image_layer(str(tmp_path / "image"), box)
    runs = [denoised(tmp_path / str(side), source, model, (side,) * 3) for side in sides]
    assert len(runs[0]) == len(Grid(box, (16, 16, 16)))
    assert all(run == runs[0] for run in runs[1:])
    values = open_layer(str(tmp_path / str(sides[0]) / "out")).read_ZYX(box)
    assert len(np.unique(values)) > 20


def test_no_chunk_shows_where_own_values_are_mixed_in(tmp_path):
    """The share is per voxel, so it knows no chunk; and it does something."""
    model = saved_denoiser(tmp_path, denoise_spec(3, 1, (16, 16, 16)))
    source = image_layer(str(tmp_path / "image"), SMALL)
    runs = [denoised(tmp_path / str(side), source, model, (side,) * 3, 0.2) for side in (32, 48, 256)]
    assert runs[0] == runs[1] == runs[2]
    assert runs[0] != denoised(tmp_path / "plain", source, model, (256,) * 3)


EXACT = [(2, 1, False, 2), (2, 2, False, 1), (2, 2, True, 2), (3, 2, False, 0), (2, 3, False, 2)]


@pytest.fixture(params=EXACT, ids=str)
def exact(request):
    """A network that looks along one axis, in whole numbers, and an image: its spec, predictor, box and voxels."""
    dims, depth, n2v2, axis = request.param
    spec = denoise_spec(dims, depth, (16, 16, 16 if dims == 3 else 4), n2v2)
    net = exact_network(spec, axis)
    box = BBox.sized((3, -5, 2), (49, 43, 21 if dims == 3 else 5))
    image_ZYX = np.random.default_rng(1).integers(0, 8, box.shape_ZYX).astype(np.float32)
    return spec, Predictor(net), box, image_ZYX


def multiple_of(spec):
    """2^depth on the axes that are pooled."""
    return DenoiseShape.parsed(spec.architecture).multiple_xyz


def in_one_window(spec, predictor, box, image_ZYX):
    """Slow and simple: pad the whole by reflection, by more than the reach; run it; crop."""
    multiple, halo = multiple_of(spec), spec.halo_vx
    low = [a - h - (a - h) % m for a, h, m in zip(box.min, halo, multiple, strict=True)]
    high = [b + h + (-(b + h)) % m for b, h, m in zip(box.max, halo, multiple, strict=True)]
    pads = [(a - lo, hi - b) for a, lo, hi, b in zip(box.min, low, high, box.max, strict=True)]
    whole = np.pad(image_ZYX, pads[::-1], mode="reflect")
    return predictor.predict(whole[None, None])[0][:, *box.slices_ZYX(low)]


def in_windows(spec, predictor, box, image_ZYX, chunk_vx=(32, 32, 32), **lattice):
    """Through the operator, chunk by chunk."""
    out = np.zeros((1, *box.shape_ZYX), np.float32)
    grid = Grid(box, chunk_vx)
    used = replace(lattice_of(spec), **lattice)

    def read(part: BBox) -> np.ndarray:
        return image_ZYX[part.slices_ZYX(box.min)]

    for index in grid.indices():
        core = grid.core(index)
        out[:, *core.slices_ZYX(box.min)] = infer(core, used, read, box, predictor.predict, channels=1, batch=2)
    return out


def test_windows_give_what_the_whole_at_once_gives(exact):
    """Bit for bit: no window's edge reaches its inner part, and reflection happens at the source's border only."""
    np.testing.assert_array_equal(in_windows(*exact), in_one_window(*exact))


def test_a_halo_short_by_four_shows(exact):
    """Negative control: with 4 voxels less the windows no longer give the whole."""
    spec, _, _, _ = exact
    short = tuple(max(0, h - 4) for h in spec.halo_vx)
    patch = tuple(s + 2 * h for s, h in zip(spec.stride_vx, short, strict=True))
    assert not np.array_equal(in_windows(*exact, halo_vx=short, patch_vx=patch), in_one_window(*exact))


def test_a_step_that_is_no_multiple_of_two_to_the_depth_shows(exact):
    """Negative control: a lattice whose step moves the pooling gives something else."""
    spec, _, _, _ = exact
    odd = tuple(s - 1 if m > 1 else s for s, m in zip(spec.stride_vx, multiple_of(spec), strict=True))
    assert not np.array_equal(in_windows(*exact, stride_vx=odd), in_one_window(*exact))


def finished(folder: Path, **values: object) -> Objects:
    """The run directory of a config whose network stages were executed here, in an order that only needs decide."""
    config = RunConfig.model_validate({"run": str(folder), "layers": {"chunk_vx": (16, 16, 16)}, **values})
    planned = plan_run(config)
    run, _ = planned.stored(config.run)
    ledger = Ledger(run)
    waiting = [k for k in planned.plan.keys() if planned.plan.tier_of(k).kind in ("denoise", "predict")][::-1]
    while waiting:
        ready = [key for key in waiting if planned.plan.ready(key, ledger.exists)]
        assert ready
        for key in ready:
            ledger.finish(key, execute(planned.plan, run, planned.plan.task(key)))
        waiting = [key for key in waiting if key not in ready]
    return run


def test_prediction_on_a_denoised_box_is_prediction_on_a_denoised_source(tmp_path):
    """A run over a part of the source denoises all that prediction sees, whatever the chunks of either stage."""
    box, inner = BBox.sized((-7, 5, 3), (70, 66, 40)), ((6, 20, 12), (50, 60, 33))
    source = image_layer(str(tmp_path / "image"), box)
    model, affinity = saved_denoiser(tmp_path, denoise_spec(3, 1, (32, 32, 32))), tiny_model(tmp_path)
    stored = []
    for number, (denoise_vx, predict_vx) in enumerate([(32, 16), (48, 48), (128, 128)]):
        stages = {
            "denoise": {"model": model, "chunk_vx": (denoise_vx,) * 3},
            "predict": {"model": affinity, "chunk_vx": (predict_vx,) * 3},
        }
        run = finished(tmp_path / f"part{number}", source={"layer": source.url}, bbox=inner, stages=stages)
        stored.append(open_layer(run.url + "/layers/affinities").read(BBox.of(*inner)))
    denoised(tmp_path / "all", source, model, (256, 256, 256))
    stages = {"predict": {"model": affinity, "chunk_vx": (32, 32, 32)}}
    layer = {"layer": str(tmp_path / "all" / "out")}
    run = finished(tmp_path / "whole", source=layer, bbox=inner, stages=stages)
    wanted = open_layer(run.url + "/layers/affinities").read(BBox.of(*inner))
    assert all(np.array_equal(found, wanted) for found in stored)
    assert len(np.unique(wanted)) > 10
