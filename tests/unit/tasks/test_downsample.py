"""The downsample task: no grid shows, at odd bounds and negative offsets too."""

from __future__ import annotations

import numpy as np
import pytest

from emseg.tasks.context import Context, LayerRef
from emseg.tasks.downsample import Downsample
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.grid import Grid
from emseg.tasks.volume.info import LayerSpec
from emseg.tasks.volume.layer import create_layer
from emseg.tasks.volume.objects import Objects

BOUNDS = BBox.of((-5, 3, -2), (20, 22, 17))


@pytest.mark.parametrize(("kind", "dtype"), [("image", "uint8"), ("segmentation", "uint64")])
@pytest.mark.parametrize("factor", [(2, 2, 1), (2, 2, 2)])
def test_no_grid_shows(tmp_path, kind, dtype, factor):
    """Small chunks, large chunks and one chunk store the same objects."""
    stored = []
    for n, chunk_vx in enumerate([(4, 4, 4), (8, 4, 12), (64, 64, 64)]):
        url = str(tmp_path / str(n))
        layer = create_layer(url, LayerSpec(kind, dtype, 1, BOUNDS, (4, 4, 40), (4, 4, 4), factors=(factor,)))
        layer.write(BOUNDS, np.random.default_rng(0).integers(0, 3, BOUNDS.shape_ZYX).astype(dtype))
        coarse = layer.at(1)
        context = Context({"a": LayerRef(layer.url)}, Objects(str(tmp_path / "run")))
        grid = Grid(coarse.bounds, chunk_vx)
        for index in grid.indices():
            Downsample(f"down/{index}", grid.core(index), "a", 1, factor).execute(context)
        stored.append({key: coarse.objects.get_stored(key) for key in coarse.object_keys()})
    assert stored[0] == stored[1] == stored[2]
    assert None not in stored[0].values()


def test_cells_are_anchored_at_zero(tmp_path):
    """Destination voxel d covers source 2d and 2d + 1, as far as they lie in the bounds, wherever the bounds start."""
    layer = create_layer(
        str(tmp_path), LayerSpec("image", "uint8", 1, BOUNDS, (4, 4, 40), (8, 8, 8), factors=((2, 2, 2),))
    )
    image_ZYX = np.random.default_rng(0).integers(0, 255, BOUNDS.shape_ZYX, np.uint8)
    layer.write(BOUNDS, image_ZYX)
    coarse = layer.at(1)
    assert coarse.bounds == BBox.of((-3, 1, -1), (10, 11, 9))
    Downsample("down/0_0_0", coarse.bounds, "image", 1).execute(
        Context({"image": LayerRef(layer.url)}, Objects(str(tmp_path / "run")))
    )
    out_ZYX = coarse.read_ZYX(coarse.bounds)
    for x, y, z in [(-3, 1, -1), (0, 5, 3), (9, 10, 8), (-3, 10, 8)]:
        cell = BBox.sized((2 * x, 2 * y, 2 * z), (2, 2, 2)).clipped(BOUNDS)
        mean = image_ZYX[cell.slices_ZYX(BOUNDS.min)].mean()
        assert abs(float(out_ZYX[z + 1, y - 1, x + 3]) - mean) <= 1


def test_no_more_than_a_layer_of_chunks_is_held(tmp_path, monkeypatch):
    """A tall core is read and written one layer of storage chunks at a time."""
    layer = create_layer(
        str(tmp_path), LayerSpec("image", "uint8", 1, BOUNDS, (4, 4, 40), (4, 4, 4), factors=((2, 2, 2),))
    )
    layer.write(BOUNDS, np.ones(BOUNDS.shape_ZYX, np.uint8))
    context = Context({"a": LayerRef(layer.url)}, Objects(str(tmp_path / "run")))
    fine, deepest = context.layer("a", 0), []
    read = fine.read
    monkeypatch.setattr(fine, "read", lambda box: deepest.append(box.size[2]) or read(box))
    coarse = layer.at(1)
    Downsample("down/0_0_0", coarse.bounds, "a", 1).execute(context)
    assert max(deepest) == 8 < BOUNDS.size[2]
    assert coarse.read(coarse.bounds).all()
