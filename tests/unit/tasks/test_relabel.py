"""The relabel task: final ids of every leaf that its core meets, whatever the two grids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from emseg.tasks.arrays.rules import Rules
from emseg.tasks.context import Context, LayerRef
from emseg.tasks.fragment import Fragment
from emseg.tasks.merge import Merge
from emseg.tasks.relabel import Relabel
from emseg.tasks.resolve import Resolve
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import CorruptChunkError
from emseg.tasks.volume.grid import Grid
from emseg.tasks.volume.info import LayerSpec
from emseg.tasks.volume.layer import create_layer
from emseg.tasks.volume.objects import Objects
from emseg.tasks.volume.tree import Tree
from emseg.tasks.weights import AffinityForm

BBOX = BBox.sized((-4, 2, 6), (16, 8, 8))
TREE = Tree(BBOX, (8, 8, 8))
NAMES = ("a", "p", "fragments", "segmentation")


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """Two leaves and their root, done: one tube along x, and one voxel of dust in the upper leaf."""
    weights_CZYX = np.zeros((3, *BBOX.shape_ZYX), np.uint16)
    weights_CZYX[0, 2, 3, 1:] = 65535
    weights_CZYX[0, 6, 6, 13] = 65535
    create_layer(str(tmp_path / "a"), LayerSpec("image", "uint16", 3, BBOX, (8, 8, 8), (8, 8, 8))).write(
        BBOX, weights_CZYX
    )
    create_layer(str(tmp_path / "p"), LayerSpec("segmentation", "uint32", 1, BBOX, (8, 8, 8), (8, 8, 8)))
    for name in NAMES[2:]:
        create_layer(str(tmp_path / name), LayerSpec("segmentation", "uint64", 1, BBOX, (8, 8, 8), (4, 4, 4)))
    context = Context({name: LayerRef(str(tmp_path / name)) for name in NAMES}, Objects(str(tmp_path / "run")))
    for index in TREE.leaves.indices():
        core = TREE.leaves.core(index)
        Fragment(f"fragment/{TREE.name(0, index)}", core, TREE, rules(), AffinityForm("a"), "p").execute(context)
    Merge("merge/L1/0_0_0", BBOX, TREE, rules(), 1).execute(context)
    Resolve("resolve/L1/0_0_0", BBOX, TREE, rules(), 1, 1).execute(context)
    return context


def rules(dust_vx: int = 3) -> Rules:
    return Rules.of("0.1", "0.9", 0, "0.5", dust_vx)


@pytest.mark.parametrize("chunk_vx", [(4, 4, 4), (12, 8, 4), (16, 8, 8)])
def test_one_tube_has_one_id_over_two_leaves(context: Context, chunk_vx: tuple[int, int, int]) -> None:
    """A tube through both leaves has the id of its least voxel, in chunks of any size; dust is 0 in segments alone."""
    grid = Grid(BBOX, chunk_vx)
    for index in grid.indices():
        Relabel("relabel/0", grid.core(index), TREE, rules(), "p", "fragments", "segmentation").execute(context)
    fragments_ZYX, segments_ZYX = (context.layer(name).read_ZYX(BBOX) for name in NAMES[2:])
    assert len(np.unique(segments_ZYX[2, 3])) == 1
    assert segments_ZYX[2, 3, 0] == 1 + ((8 + 2**19) << 42 | (5 + 2**20) << 21 | (-4 + 2**20))
    assert np.count_nonzero(segments_ZYX) == 16
    assert np.count_nonzero(fragments_ZYX) == 18


def test_labels_beyond_their_table_are_refused(context: Context) -> None:
    """Provisional labels of another leaf under this one's name are refused, never looked up past the end."""
    layer = context.layer("p")
    layer.write(BBOX, np.full(BBOX.shape_ZYX, 99, np.uint32))
    with pytest.raises(CorruptChunkError, match="label 99 is beyond the 1 labels of its leaf"):
        Relabel("relabel/0", BBOX, TREE, rules(), "p", "fragments", "segmentation").execute(context)
