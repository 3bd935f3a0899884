"""The contingency table of one chunk."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from emseg.tasks.context import Context, LayerRef
from emseg.tasks.score import Score, table_key
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.info import LayerSpec
from emseg.tasks.volume.layer import create_layer
from emseg.tasks.volume.objects import Objects


def test_a_core_is_counted_whatever_the_storage_chunks(tmp_path: Path) -> None:
    """Two layers with other offsets, data types and storage chunks are compared voxel by voxel over the core."""
    rng = np.random.default_rng(0)
    seg, truth = rng.integers(0, 4, (9, 9, 9)).astype(np.uint64), rng.integers(0, 3, (8, 8, 8)).astype(np.uint32)
    boxes = {"segmentation": BBox.sized((0, 0, 0), (9, 9, 9)), "truth": BBox.sized((1, 1, 1), (8, 8, 8))}
    for (name, box), array, side in zip(boxes.items(), (seg, truth), (4, 5), strict=True):
        spec = LayerSpec("segmentation", array.dtype.name, 1, box, (4, 4, 4), (side,) * 3)
        create_layer(str(tmp_path / name), spec).write(box, array)
    context = Context({name: LayerRef(str(tmp_path / name)) for name in boxes}, Objects(str(tmp_path / "run")))
    core = BBox.of((2, 1, 3), (7, 9, 8))
    Score("score/0_0_0", core, "segmentation", "truth").execute(context)
    table = context.get_table(table_key("score/0_0_0"))
    pairs = np.stack([seg[3:8, 1:9, 2:7].ravel(), truth[2:7, 0:8, 1:6].ravel()], 1)
    unique, count = np.unique(pairs, axis=0, return_counts=True)
    assert np.array_equal(np.stack([table["seg"], table["gt"]], 1), unique)
    assert np.array_equal(table["count"], count)
