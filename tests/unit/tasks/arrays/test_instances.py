"""A leaf of overlapping chunks: pieces by core voxels, strangers, slabs."""

from __future__ import annotations

import numpy as np
import pytest

from emseg.tasks.arrays.instances import InstanceLeaf, instance_leaf
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.codes import codes_of_box
from emseg.tasks.volume.errors import LayerError
from emseg.tasks.volume.grid import Grid

RULES = Rules(1, 65535, 0, 32768, 0, "max")
GRID = Grid(BBox.sized((-3, 4, 9), (21, 19, 17)), (6, 7, 5), (3, 2, 4))


def leaf_at(index: tuple[int, int, int], dtype: str = "uint64") -> tuple[InstanceLeaf, np.ndarray]:
    """Leaf of random blocks with large labels, and these labels."""
    whole = GRID.whole(index)
    rng = np.random.default_rng(index)
    blocks = rng.integers(0, 7, [-(-n // 3) for n in whole.shape_ZYX])
    z, y, x = (slice(n) for n in whole.shape_ZYX)
    labels = (blocks.repeat(3, 0).repeat(3, 1).repeat(3, 2)[z, y, x] * 17).astype(dtype)
    return instance_leaf(labels, GRID, index, RULES), labels


@pytest.mark.parametrize("index", list(GRID.indices()))
def test_pieces_are_the_instances_of_the_core(index: tuple[int, int, int]) -> None:
    """Ids are 1 + the least code of the core's voxels, sizes are of the core, and each goes up or is settled."""
    result, labels = leaf_at(index)
    core = GRID.core(index)
    inner = labels[core.slices_ZYX(GRID.whole(index).min)]
    codes = codes_of_box(core)
    wanted = {int(codes[inner == n].min()) + 1: int((inner == n).sum()) for n in np.unique(inner) if n}
    assert result.forest.fragment.tolist() == sorted(wanted)
    ids = np.concatenate([np.zeros(1, np.uint64), result.forest.fragment])[result.labels_ZYX]
    assert np.array_equal(ids > 0, inner > 0)
    assert {int(i): int((ids == i).sum()) for i in np.unique(ids) if i} == wanted
    parts = result.up.part_voxels.sum() + result.forest.settled_voxels.sum()
    assert parts == sum(wanted.values())


@pytest.mark.parametrize("index", list(GRID.indices()))
def test_a_slab_says_what_the_chunk_says(index: tuple[int, int, int]) -> None:
    """On every open side the slab's labels are the chunk's, renamed; labels with an id are those with a core voxel."""
    result, labels = leaf_at(index)
    whole, core = GRID.whole(index), GRID.core(index)
    inner = set(np.unique(labels[core.slices_ZYX(whole.min)]).tolist())
    for name, slab in result.slabs.items():
        axis, high = "xyz".index(name[0]), name[1] == "+"
        upper = tuple(i + (a == axis and high) for a, i in enumerate(index))
        part = labels[GRID.seam(upper, axis).slices_ZYX(whole.min)]
        pairs = set(zip(slab.labels.ravel().tolist(), part.ravel().tolist(), strict=True))
        assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
        assert all((mine == 0) == (theirs == 0) for mine, theirs in pairs)
        assert all((0 < mine <= len(slab.ids)) == (theirs in inner) for mine, theirs in pairs if mine)
        assert set(slab.ids.tolist()) <= set(result.up.piece.tolist())


def test_signed_labels_are_taken_and_negative_ones_refused() -> None:
    """int32 chunks are as good; a label below 0, another shape and floats are one line."""
    result, labels = leaf_at((1, 1, 1), "int32")
    assert np.array_equal(result.labels_ZYX, leaf_at((1, 1, 1))[0].labels_ZYX)
    with pytest.raises(LayerError, match="holds the label -1"):
        instance_leaf(np.where(labels == 17, -1, labels), GRID, (1, 1, 1), RULES)
    with pytest.raises(LayerError, match="mend chunk_vx and overlap_vx"):
        instance_leaf(labels[1:], GRID, (1, 1, 1), RULES)
    with pytest.raises(LayerError, match="need integers"):
        instance_leaf(labels.astype(np.float32), GRID, (1, 1, 1), RULES)
