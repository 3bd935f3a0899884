"""Excluded voxels are the same whatever box asks for them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emseg.tasks.context import Context, LayerRef
from emseg.tasks.exclusion import Cells, Exclusion
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.info import LayerSpec, reduced
from emseg.tasks.volume.layer import create_layer
from emseg.tasks.volume.objects import Objects

BOUNDS = BBox.of((-7, 2, -3), (17, 25, 14))
FACTORS = {"mask": (4, 4, 2), "blank": (3, 5, 1)}


@pytest.fixture(scope="module")
def setting(tmp_path_factory) -> tuple[Context, np.ndarray]:
    """Two layers of cells, a bad section, and the excluded voxels [z, y, x] by brute force."""
    folder = tmp_path_factory.mktemp("cells")
    refs, excluded_ZYX = {}, np.zeros(BOUNDS.shape_ZYX, bool)
    for name, factor in FACTORS.items():
        box = reduced(BOUNDS, factor)
        layer = create_layer(str(folder / name), LayerSpec("image", "uint8", 1, box, (8, 8, 8), (4, 4, 4)))
        cells_ZYX = (np.random.default_rng(len(name)).random(box.shape_ZYX) < 0.2).astype(np.uint8)
        layer.write(box, cells_ZYX)
        refs[name] = LayerRef(layer.url)
        for place in np.ndindex(excluded_ZYX.shape):
            voxel = [a + p for a, p in zip(BOUNDS.min, reversed(place), strict=True)]
            cell = [v // f - c for v, f, c in zip(voxel, factor, box.min, strict=True)]
            excluded_ZYX[place] |= bool(cells_ZYX[tuple(reversed(cell))])
    excluded_ZYX[4 - BOUNDS.min[2]] = True
    return Context(refs, Objects(str(folder / "run"))), excluded_ZYX


@given(data=st.data())
def test_any_box_sees_the_same(setting, data):
    """The excluded voxels of a box are that part of those of the whole; None where there are none."""
    context, excluded_ZYX = setting
    low = [data.draw(st.integers(a, b - 1)) for a, b in zip(BOUNDS.min, BOUNDS.max, strict=True)]
    box = BBox.of(low, [data.draw(st.integers(a + 1, b)) for a, b in zip(low, BOUNDS.max, strict=True)])
    exclusion = Exclusion(tuple(Cells(name, factor) for name, factor in FACTORS.items()), (4, 99))
    expected = excluded_ZYX[box.slices_ZYX(BOUNDS.min)]
    found = exclusion.of(context, box)
    assert (found is None) == (not expected.any())
    if found is not None:
        assert np.array_equal(found, expected)


def test_nothing_excluded_is_none(setting):
    """Without cells and sections, and with sections elsewhere, nothing is excluded and nothing is read."""
    context, _ = setting
    assert Exclusion().of(context, BOUNDS) is None
    assert Exclusion(sections=(99, -99)).of(context, BOUNDS) is None
