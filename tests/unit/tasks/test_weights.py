"""Affinities of any layer become weights on upper voxels; what is none is named by channel and voxel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emseg.tasks.arrays.coded import Coded, weights_in
from emseg.tasks.context import Context, LayerRef
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import LayerError
from emseg.tasks.volume.info import LayerSpec
from emseg.tasks.volume.layer import create_layer
from emseg.tasks.volume.objects import Objects
from emseg.tasks.weights import AffinityForm

BOUNDS = BBox.sized((-5, 7, 3), (13, 11, 9))
BOX = BBox.of((-2, 9, 5), (6, 16, 11))


def stored(folder: Path, values_CZYX: np.ndarray, **emseg: Any) -> Context:
    """A layer of these values over BOUNDS in chunks of 4³, and a context that knows it."""
    spec = LayerSpec("image", values_CZYX.dtype.name, len(values_CZYX), BOUNDS, (8, 8, 8), (4, 4, 4), emseg=emseg)
    create_layer(str(folder / "a"), spec).write(BOUNDS, values_CZYX)
    return Context({"a": LayerRef(str(folder / "a"))}, Objects(str(folder / "run")))


def values(channels: int = 4) -> np.ndarray:
    """uint16 weights that all differ, so that a shift or a swap shows."""
    return (
        np.random.default_rng(0).permutation(channels * BOUNDS.voxels).astype(np.uint16).reshape(-1, *BOUNDS.shape_ZYX)
    )


def test_channels_are_permuted(tmp_path: Path) -> None:
    """The x, y and z edges come from the channels that the form names, whatever else the layer holds."""
    values_CZYX = values()
    found = AffinityForm("a", (3, 1, 0)).read(stored(tmp_path, values_CZYX), BOX)
    assert np.array_equal(found, values_CZYX[[3, 1, 0]][:, *BOX.slices_ZYX(BOUNDS.min)])


@pytest.mark.parametrize("box", [BOX, BOUNDS, BBox.sized(BOUNDS.min, (1, 1, 1))])
def test_the_lower_side_is_shifted(tmp_path: Path, box: BBox) -> None:
    """Of a layer that joins v to v + 1, the edge below each voxel comes; where the layer ends there is none."""
    values_CZYX = values()
    found = AffinityForm("a", (2, 0, 1), "lower").read(stored(tmp_path, values_CZYX), box)
    for axis, channel in enumerate((2, 0, 1)):
        for z, y, x in np.ndindex(box.shape_ZYX):
            voxel = [a + b - (n == axis) for n, (a, b) in enumerate(zip(box.min, (x, y, z), strict=True))]
            i, j, k = (a - b for a, b in zip(voxel, BOUNDS.min, strict=True))
            wanted = 0 if min(i, j, k) < 0 else values_CZYX[channel, k, j, i]
            assert found[axis, z, y, x] == wanted


def test_the_lower_side_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All three channels come from one read, so that each storage chunk is fetched and decoded once."""
    context = stored(tmp_path, values())
    layer, fetched = context.layer("a"), []
    get = layer.objects.get_stored
    monkeypatch.setattr(layer.objects, "get_stored", lambda key, **more: fetched.append(key) or get(key, **more))
    AffinityForm("a", side="lower").read(context, BOX)
    assert len(fetched) == len(set(fetched)) > 8


@pytest.mark.parametrize("side", ["upper", "lower"])
@pytest.mark.parametrize("value", [np.nan, -0.25, 1.5])
@pytest.mark.parametrize("channel", [0, 1, 3])
def test_what_is_no_affinity_is_named_where_it_is_stored(tmp_path: Path, side: Any, value: float, channel: int) -> None:
    """NaN and values outside [0, 1] are named by their stored channel and absolute voxel, as the viewer shows them."""
    values_CZYX = np.full((4, *BOUNDS.shape_ZYX), 0.5, np.float32)
    voxel = (3, 12, 8)
    values_CZYX[channel, *BBox.sized(voxel, (1, 1, 1)).slices_ZYX(BOUNDS.min)] = value
    context = stored(tmp_path, values_CZYX)
    with pytest.raises(LayerError, match=rf"/a: affinity at channel {channel}, voxel 3,12,8 is {value}:"):
        AffinityForm("a", (3, 1, 0), side).read(context, BOX)


@pytest.mark.parametrize("side", ["upper", "lower"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_codes_are_read_as_they_are_where_their_table_rises(tmp_path: Path, dtype: Any, side: Any) -> None:
    """They weigh what `read` says; of other dtypes, and of a shifted layer, weights come."""
    found_CZYX = (np.random.default_rng(4).integers(0, 2, (4, *BOUNDS.shape_ZYX))).astype(dtype)
    context, form = stored(tmp_path, found_CZYX), AffinityForm("a", (3, 1, 0), side)
    coded = form.read_coded(context, BOX)
    assert isinstance(coded, Coded) == (dtype == np.uint8 and side == "upper")
    assert np.array_equal(weights_in(coded), form.read(context, BOX))


def test_a_level_table_is_applied_at_once(tmp_path: Path) -> None:
    """Where two codes weigh the same, weights are read."""
    codes_CZYX = np.random.default_rng(2).integers(0, 256, (3, *BOUNDS.shape_ZYX), np.uint8)
    context = stored(tmp_path, codes_CZYX, table=[0, 0, *range(2, 256)])
    found = AffinityForm("a").read_coded(context, BOX)
    assert isinstance(found, np.ndarray)
    assert np.array_equal(found, AffinityForm("a").read(context, BOX))


def test_values_that_nobody_asks_for_may_be_anything(tmp_path: Path) -> None:
    """NaN in a channel, or in a place, that holds no edge of the box stops nothing."""
    values_CZYX = np.full((4, *BOUNDS.shape_ZYX), 0.5, np.float32)
    values_CZYX[2] = np.nan
    values_CZYX[3, :, :, BOX.max[0] - 1 - BOUNDS.min[0]] = np.nan  # joins the box's last plane to one beyond it
    found = AffinityForm("a", (3, 1, 0), "lower").read(stored(tmp_path, values_CZYX), BOX)
    assert (found == 32768).all()


def test_too_few_offsets_are_refused(tmp_path: Path) -> None:
    """A layer that says less offsets than it has channels is refused by name."""
    context = stored(tmp_path, values(), offsets=[[-1, 0, 0]])
    with pytest.raises(LayerError, match=r"/a: emseg.offsets has 1 offsets for 4 channels"):
        AffinityForm("a").read(context, BOX)


def test_a_table_is_applied(tmp_path: Path) -> None:
    """uint8 codes weigh what the layer's own table says."""
    table = np.sort(np.random.default_rng(1).integers(0, 65536, 256)).tolist()
    codes_CZYX = np.random.default_rng(2).integers(0, 256, (3, *BOUNDS.shape_ZYX), np.uint8)
    context = stored(tmp_path, codes_CZYX, table=table)
    assert json.loads(context.layer("a").objects.require("info"))["emseg"]["table"] == table
    found = AffinityForm("a").read(context, BOX)
    assert np.array_equal(found, np.array(table, np.uint16)[codes_CZYX[:, *BOX.slices_ZYX(BOUNDS.min)]])
