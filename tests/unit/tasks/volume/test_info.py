"""info files: ours hold every mip; others' are checked number by number."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import LayerError
from emseg.tasks.volume.info import LayerSpec, new_info, parse_channels, parse_dtype, parse_emseg, parse_scale, reduced

BOX = BBox.of((-5, 2, 7), (14, 23, 40))
SPEC = LayerSpec("image", "uint8", 1, BOX, (4, 4.5, 40), (8, 8, 8), factors=((2, 2, 1), (2, 2, 2)))
INFO = new_info(SPEC)


def test_every_mip_is_there_from_the_start():
    """Each mip covers the one before: floor below, ceiling above, voxels as much longer."""
    scales = [parse_scale(INFO, mip, "layer") for mip in range(3)]
    assert [s.bounds for s in scales] == [BOX, reduced(BOX, (2, 2, 1)), reduced(BOX, (4, 4, 2))]
    assert [s.voxel_nm for s in scales] == [(4, 4.5, 40), (8, 9, 40), (16, 18, 80)]
    assert len({s.key for s in scales}) == 3


@given(
    st.tuples(*[st.integers(-99, 99)] * 3), st.tuples(*[st.integers(1, 50)] * 3), st.tuples(*[st.integers(1, 5)] * 3)
)
def test_a_reduced_box_just_covers(low, size, factor):
    """A reduced box covers the box, and one voxel less on any side would not."""
    box = BBox.sized(low, size)
    small = reduced(box, factor)
    for axis in range(3):
        f = factor[axis]
        assert small.min[axis] * f <= box.min[axis] < (small.min[axis] + 1) * f
        assert (small.max[axis] - 1) * f < box.max[axis] <= small.max[axis] * f


@pytest.mark.parametrize("mip", [-1, 3, 99])
def test_an_absent_mip_is_refused(mip):
    """A mip that is not there is refused with the number of those that are."""
    with pytest.raises(LayerError, match=f"has no mip {mip}; it has 3 mips"):
        parse_scale(INFO, mip, "layer x")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("size", v) for v in ([0, 1, 1], [-1, 1, 1], [1, 1], [1.5, 1, 1], "abc", None, 3, ["a", "b", "c"])],
        *[("chunk_sizes", v) for v in ([[0, 1, 1]], [[1, 1]], [], None, [[1.5, 1, 1]], 3)],
        *[("resolution", v) for v in ([1, 1], [], None, ["a", 1, 1], 3, [0, 1, 1], [-4, 4, 4], [float("nan"), 1, 1])],
        *[("voxel_offset", v) for v in ([0.5, 0, 0], [0, 0], None, "abc")],
        *[("key", v) for v in ("/etc", "../other", "a/../../b")],
        *[
            ("compressed_segmentation_block_size", v)
            for v in ([0, 8, 8], [8, 8], None, "abc", [-8, 8, 8], [10**7, 8, 8])
        ],
        *[("sharding", v) for v in (5, "abc", [], True)],
    ],
)
def test_a_wrong_scale_is_refused_by_name(key, value):
    """Whatever stands in a scale that should not is a LayerError with the layer's name, never another exception."""
    info = copy.deepcopy(INFO)
    info["scales"][0][key] = value
    with pytest.raises(LayerError, match="layer x"):
        parse_scale(info, 0, "layer x")


@pytest.mark.parametrize("key", ["size", "chunk_sizes", "resolution", "encoding", "key"])
def test_a_lacking_entry_is_named(key):
    """An info without an entry that is needed is refused with the entry's name."""
    info = copy.deepcopy(INFO)
    del info["scales"][0][key]
    with pytest.raises(LayerError, match=f"lacks '{key}'"):
        parse_scale(info, 0, "layer x")


@pytest.mark.parametrize("scales", [None, {}, 3, [3], ["a"], [None]])
def test_scales_that_are_none_are_refused(scales):
    """scales must be a list of objects."""
    with pytest.raises(LayerError, match="layer x"):
        parse_scale({"scales": scales}, 0, "layer x")


def test_a_lacking_offset_means_zero():
    """voxel_offset may be absent: the layer then starts at 0."""
    info = copy.deepcopy(INFO)
    del info["scales"][0]["voxel_offset"]
    assert parse_scale(info, 0, "layer").bounds.min == (0, 0, 0)


def test_data_types_are_listed():
    """A known type is numpy's; any other, object above all, is refused."""
    assert parse_dtype({"data_type": "UINT64"}, "layer") == np.uint64
    for name in ("object", "O", "float64", "", None, 3):
        with pytest.raises(LayerError, match="is not one of"):
            parse_dtype({"data_type": name}, "layer")


@pytest.mark.parametrize("count", [0, -1, 1.5, "3", None, True, [1]])
def test_a_wrong_number_of_channels_is_refused(count):
    """num_channels must be an integer of at least 1; absent it is 1."""
    assert parse_channels({}, "layer x") == 1
    with pytest.raises(LayerError, match="layer x: num_channels"):
        parse_channels({"num_channels": count}, "layer x")


def test_our_own_entry_is_kept():
    """The emseg object of a layer holds its compression and what the specification adds."""
    spec = LayerSpec(
        "image", "uint8", 3, BOX, (4, 4, 4), (8, 8, 8), compression="zstd", emseg={"offsets": [[-1, 0, 0]]}
    )
    assert new_info(spec)["emseg"] == {"compression": "zstd", "offsets": [[-1, 0, 0]]}


@pytest.mark.parametrize(
    "emseg",
    [
        *([], [1], 5, "abc"),
        *({"compression": v} for v in ("br", "zip", 3, None)),
        *({"offsets": v} for v in (5, "abc", [1], [[1, 2]], [[0.5, 0, 0]], [["a", 0, 0]])),
        *({"table": v} for v in ("abc", 5, [], [0] * 255, [70000] * 256, [-1] * 256, [0.5] * 256, [None] * 256)),
        {"table": list(range(255, -1, -1))},
    ],
)
def test_a_wrong_entry_of_ours_is_refused_by_name(emseg):
    """Whatever stands in `emseg` that should not is a LayerError with the layer's name."""
    with pytest.raises(LayerError, match=r"layer x: .*emseg"):
        parse_emseg({"emseg": emseg}, "layer x")


def test_a_sound_entry_of_ours_is_read_as_it_is():
    """Known and unknown entries come back; no entry is an empty one."""
    emseg = {"compression": "zstd", "offsets": [[-1, 0, 0]], "table": list(range(256)), "model": "abc"}
    assert parse_emseg({"emseg": emseg}, "layer x") == emseg
    assert parse_emseg({}, "layer x") == parse_emseg({"emseg": None}, "layer x") == {}
