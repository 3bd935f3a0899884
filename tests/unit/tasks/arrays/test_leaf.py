"""A leaf: its faces, what it keeps and what it hands up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from laws.volumes import Case, random_case

from emseg.tasks.arrays.faces import FacePair
from emseg.tasks.arrays.fragments import fragments
from emseg.tasks.arrays.leaf import LeafResult, leaf
from emseg.tasks.arrays.sides import weights_box
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import CorruptChunkError


def _leaf(case: Case, core: BBox) -> LeafResult:
    return leaf(
        case.weights_CZYX[:, *weights_box(core, case.bbox).slices_ZYX(case.bbox.min)], core, case.bbox, case.rules
    )


def _halves(case: Case, axis: int) -> tuple[BBox, BBox]:
    middle = case.bbox.min[axis] + case.bbox.size[axis] // 2
    low, high = list(case.bbox.max), list(case.bbox.min)
    low[axis] = high[axis] = middle
    return BBox.of(case.bbox.min, low), BBox.of(high, case.bbox.max)


def _pair(seed: int, axis: int) -> FacePair:
    case = random_case(seed)
    lower, upper = _halves(case, axis)
    name = "xyz"[axis]
    return FacePair(_leaf(case, lower).faces[name + "+"], _leaf(case, upper).faces[name + "-"], axis, upper.min)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("seed", range(4))
def test_two_leaves_tell_the_same_of_their_border(seed: int, axis: int) -> None:
    """Both faces agree; the ON edges of the upper one, with both leaves' pieces, give the fragments of the whole."""
    case = random_case(seed)
    lower, upper = _halves(case, axis)
    results = [_leaf(case, core) for core in (lower, upper)]
    pair = _pair(seed, axis)
    pair.require_agreement()
    whole = fragments(case.weights_CZYX, case.bbox, case.bbox, case.rules)
    of_piece = {}
    for core, result in zip((lower, upper), results, strict=True):
        inside = whole.labels_ZYX[core.slices_ZYX(case.bbox.min)]
        for i, piece in enumerate(result.forest.fragment):
            of_piece[int(piece)] = int(inside[result.labels_ZYX == i + 1][0])
    ends = [np.concatenate([np.zeros(1, np.uint64), f.ids])[f.labels] for f in (pair.lower, pair.upper)]
    for u, v in zip(*(e[pair.upper.on > 0] for e in ends), strict=True):
        assert of_piece[int(u)] == of_piece[int(v)]


def test_only_open_sides_have_faces() -> None:
    """A leaf that is the whole box shows and hands up nothing; all its clusters are settled, with all voxels."""
    case = random_case(1)
    result = _leaf(case, case.bbox)
    assert result.faces == {}
    assert all(column.size == 0 for column in result.up.columns().values())
    assert set(result.forest.cluster_to) == set(result.forest.settled)
    assert result.forest.settled_voxels.sum() == (result.labels_ZYX > 0).sum()


def test_every_voxel_is_settled_or_goes_up() -> None:
    """Voxels of settled clusters and of the part lists add up to the leaf's foreground."""
    case = random_case(2)
    result = _leaf(case, _halves(case, 0)[0])
    assert len(result.up.piece) > 0
    assert result.forest.settled_voxels.sum() + result.up.part_voxels.sum() == (result.labels_ZYX > 0).sum()


def _spoilt(pair: FacePair, what: str) -> FacePair:
    low, up = pair.lower, pair.upper
    if what == "weights":
        return replace(pair, upper=replace(up, weights=up.weights ^ np.uint16(1)))
    if what == "digest":
        return replace(pair, lower=replace(low, digest=low.digest ^ np.uint8(1)))
    if what == "shape":
        return replace(pair, lower=replace(low, labels=low.labels[1:]))
    if what == "label":
        return replace(pair, lower=replace(low, labels=low.labels + np.uint32(len(low.ids))))
    on = np.ones_like(up.on)
    return replace(pair, upper=replace(up, on=on), lower=replace(low, labels=np.zeros_like(low.labels)))


@pytest.mark.parametrize("what", ["weights", "digest", "shape", "label", "background"])
def test_leaves_that_disagree_are_refused(what: str) -> None:
    """Other weights, another digest, another shape, a label without id, an ON edge into background: each stops."""
    with pytest.raises(CorruptChunkError, match="faces that meet at"):
        _spoilt(_pair(0, 1), what).require_agreement()
