"""The histograms of one chunk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from emseg.tasks.context import Context, LayerRef
from emseg.tasks.stats import Stats
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.info import LayerSpec
from emseg.tasks.volume.layer import create_layer
from emseg.tasks.volume.objects import Objects


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_each_section_of_a_core_is_counted(tmp_path: Path, dtype: str) -> None:
    """Every grey value of every section is counted once."""
    raw = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (5, 20, 30)).astype(dtype)
    box = BBox.sized((7, 0, -2), (30, 20, 5))
    create_layer(str(tmp_path / "raw"), LayerSpec("image", dtype, 1, box, (4, 4, 40), (16, 16, 4))).write(box, raw)
    context = Context({"source": LayerRef(str(tmp_path / "raw"))}, Objects(str(tmp_path / "run")))
    Stats("stats/0_0_0", BBox.of((10, 2, -1), (37, 20, 2)), "source").execute(context)
    counts = context.get_table("tables/stats/0_0_0")["counts"]
    values = np.arange(np.iinfo(dtype).max + 1)
    assert counts.shape == (3, len(values))
    for got, section in zip(counts, raw[1:4, 2:, 3:], strict=True):
        assert np.array_equal(got, np.histogram(section, np.append(values, values[-1] + 1))[0])
