"""Codes with a table: the same leaf as their weights give, from half the memory."""

from __future__ import annotations

import numpy as np
import pytest
from laws.volumes import random_case

from emseg.tasks.arrays.coded import NO_TABLE, Coded, affinities_of, line_of, run_of, weights_in
from emseg.tasks.arrays.leaf import LeafResult, leaf
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.arrays.sides import excluded_box, weights_box
from emseg.tasks.arrays.weights import LINEAR_UINT8
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import LayerError

BENT = np.sort(np.random.default_rng(3).choice(np.arange(1, 65000), 256, replace=False)).astype(np.uint16)
BENT_FROM_0 = np.concatenate([np.zeros(1, np.uint16), BENT[1:]])


def _columns(result: LeafResult) -> dict[str, np.ndarray]:
    tables = {"forest": result.forest, "up": result.up, **result.faces}
    named = {f"{name} {c}": a for name, table in tables.items() for c, a in table.columns().items()}
    return {"labels": result.labels_ZYX, **named}


@pytest.mark.parametrize("table", [LINEAR_UINT8, BENT, BENT_FROM_0], ids=["linear", "bent", "bent from 0"])
@pytest.mark.parametrize("excluding", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_a_leaf_of_codes_is_the_leaf_of_their_weights(table: np.ndarray, excluding: bool, seed: int) -> None:
    """Labels, faces, forest and what goes up: with thresholds between the codes, below the first, above the last."""
    case = random_case(seed)
    rng = np.random.default_rng(seed)
    codes = rng.choice([0, 1, 60, 128, 200, 254, 255], (3, *case.bbox.shape_ZYX)).astype(np.uint8)
    core = BBox.of([a + 2 for a in case.bbox.min], [b - 1 for b in case.bbox.max])
    read = weights_box(core, case.bbox).slices_ZYX(case.bbox.min)
    part = codes[:, *read]
    mask = rng.random(excluded_box(core, case.bbox).shape_ZYX) < 0.1 if excluding else None
    low, high = int(table[60]), int(table[200])
    for w_low, w_high in ((low, high), (low + 1, high - 1), (1, 65535), (65001, 65535)):
        rules = Rules(w_low, w_high, 5, 30000)
        coded, plain = (leaf(a, core, case.bbox, rules, mask) for a in (Coded(part, table), table[part]))
        for name, column in _columns(plain).items():
            assert np.array_equal(_columns(coded)[name], column), name


def test_codes_stay_codes_only_where_their_table_rises() -> None:
    """Two codes of one weight would be two ranks: they are read as weights; so are values that are weights."""
    codes = np.arange(256, dtype=np.uint8).reshape(1, 1, 1, 256)
    level = np.maximum(LINEAR_UINT8, np.uint16(257))
    assert isinstance(affinities_of(codes, None), Coded)
    assert isinstance(affinities_of(codes, BENT), Coded)
    found = affinities_of(codes, level)
    assert isinstance(found, np.ndarray)
    assert np.array_equal(found, level[codes])
    weights = codes.astype(np.uint16)
    assert np.array_equal(weights_in(affinities_of(weights, None)), weights)
    with pytest.raises(LayerError, match="never fall"):
        affinities_of(codes, LINEAR_UINT8[::-1].copy())
    with pytest.raises(LayerError, match="uint16"):
        affinities_of(weights, BENT)


@pytest.mark.parametrize("view", [np.s_[:], np.s_[:, 1:4, 2:, 1:5], np.s_[::-1], np.s_[..., ::2], np.s_[:, :0]])
def test_a_view_is_read_line_by_line(view: tuple[slice, ...]) -> None:
    """Lines of a run are those of the array, for views, reversed ones, ones with gaps, and none at all."""
    values = np.arange(3 * 5 * 6 * 7, dtype=np.uint16).reshape(3, 5, 6, 7)[view]
    run = run_of(values)
    assert run.table is NO_TABLE
    for c, z, y in np.ndindex(values.shape[:3]):
        assert np.array_equal(line_of(run, c, z, y, 0, values.shape[3]), values[c, z, y])
