"""The fragment task: it writes what its leaf says, and drops every edge with an excluded end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emseg.tasks.arrays.forest import Forest
from emseg.tasks.arrays.leaf import leaf
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.context import Context, LayerRef
from emseg.tasks.exclusion import Exclusion
from emseg.tasks.fragment import Fragment
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.info import LayerSpec
from emseg.tasks.volume.layer import create_layer
from emseg.tasks.volume.objects import Objects
from emseg.tasks.volume.tree import Tree
from emseg.tasks.weights import AffinityForm

BBOX = BBox.sized((-4, 2, 6), (16, 8, 8))
CORE = BBox.sized((-4, 2, 6), (8, 8, 8))
RULES = Rules.of("0.1", "0.9", 5, "0.5", 0)
WEIGHTS_CZYX = (np.random.default_rng(0).integers(0, 9, (3, *BBOX.shape_ZYX)) * 8191).astype(np.uint16)


def executed(
    folder: Path, exclusion: Exclusion, values_CZYX: np.ndarray = WEIGHTS_CZYX, emseg: dict[str, Any] | None = None
) -> tuple[np.ndarray, Context]:
    """Provisional labels [z, y, x] of the lower of two leaves, and the context."""
    spec = LayerSpec("image", values_CZYX.dtype.name, 3, BBOX, (8, 8, 8), (8, 8, 8), emseg=emseg or {})
    create_layer(str(folder / "a"), spec).write(BBOX, values_CZYX)
    create_layer(str(folder / "p"), LayerSpec("segmentation", "uint32", 1, BBOX, (8, 8, 8), (8, 8, 8)))
    refs = {name: LayerRef(str(folder / name)) for name in ("a", "p")}
    context = Context(refs, Objects(str(folder / "run")))
    tree = Tree(BBOX, (8, 8, 8))
    Fragment("fragment/L0/0_0_0", CORE, tree, RULES, AffinityForm("a"), "p", exclusion).execute(context)
    return context.layer("p").read_ZYX(CORE), context


def test_what_the_leaf_says_is_stored(tmp_path: Path) -> None:
    """Labels, one face on the open side, forest and exports are those of the leaf; figures count them."""
    labels_ZYX, context = executed(tmp_path, Exclusion())
    around = CORE.padded(1).clipped(BBOX)
    wanted = leaf(np.ascontiguousarray(WEIGHTS_CZYX[:, *around.slices_ZYX(BBOX.min)]), CORE, BBOX, RULES)
    assert np.array_equal(labels_ZYX, wanted.labels_ZYX)
    assert labels_ZYX.max() > 3
    assert list(context.run.list("tables/faces")) == ["tables/faces/L0/0_0_0/x+"]
    forest = Forest.of(context.get_table("tables/forest/L0/0_0_0"))
    assert np.array_equal(forest.fragment, wanted.forest.fragment)
    assert context.record.figures["fragments"] == labels_ZYX.max() == len(forest.fragment)
    assert context.run.exists("tables/up/L0/0_0_0")


@pytest.mark.parametrize("exclusion", [Exclusion(), Exclusion(sections=(9,))])
def test_codes_give_the_same_leaf_as_their_weights(tmp_path: Path, exclusion: Exclusion) -> None:
    """A layer of 8-bit codes, its table not starting at 0, and one of what they weigh: equal labels and tables."""
    table = np.sort(np.random.default_rng(5).choice(np.arange(9, 65536), 256, replace=False)).astype(np.uint16)
    codes_CZYX = np.random.default_rng(6).integers(0, 256, (3, *BBOX.shape_ZYX), np.uint8)
    layers = {"codes": (codes_CZYX, {"table": table.tolist()}), "weights": (table[codes_CZYX], {})}
    found = [executed(tmp_path / name, exclusion, *layer) for name, layer in layers.items()]
    assert np.array_equal(found[0][0], found[1][0])
    for name in ("tables/up/L0/0_0_0", "tables/forest/L0/0_0_0", "tables/faces/L0/0_0_0/x+"):
        coded, plain = (context.get_table(name) for _, context in found)
        assert all(np.array_equal(coded[column], plain[column]) for column in plain)


def test_excluded_voxels_are_background_and_part_the_rest(tmp_path: Path) -> None:
    """No fragment holds an excluded voxel, and none reaches across an excluded section."""
    labels_ZYX, _ = executed(tmp_path, Exclusion(sections=(9,)))
    assert not labels_ZYX[3].any()
    assert not set(np.unique(labels_ZYX[:3])) & set(np.unique(labels_ZYX[4:])) - {0}
