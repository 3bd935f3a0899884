"""Centre lines: one tree a neuron, the same whoever grows it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from emseg.tasks.arrays.neurites import ALONG, CELL, NEURONS, REACH, START, cells_near, chosen, neurites_of

CELLS = np.array([[-1, 0, 2], [1, 2, 4]])


@pytest.mark.parametrize("seed", [0, 7])
def test_a_neuron_is_one_tree(seed: int) -> None:
    """Every segment of a neuron but its first starts where an earlier one starts or ends."""
    rows, ids, _ = neurites_of(seed, CELLS)
    for neuron in np.unique(ids):
        tree = rows[ids == neuron]
        starts, ends = tree[:, START : START + 3], tree[:, START : START + 3] + tree[:, ALONG : ALONG + 3]
        for n in range(1, len(tree)):
            before = np.concatenate([starts[:n], ends[:n]])
            assert np.abs(before - starts[n]).max(1).min() < 1e-9


def test_a_neuron_stays_within_reach_of_its_cell() -> None:
    """No segment of a cell's neurons ends further than REACH beyond the cell, so that looking that far finds all."""
    rows, _, starts = neurites_of(3, CELLS)
    cells = [(x, y, z) for z in range(2, 4) for y in range(2) for x in range(-1, 1)]
    for number, cell in enumerate(cells):
        own = rows[starts[number] : starts[number + 1]]
        ends = own[:, START : START + 3] + own[:, ALONG : ALONG + 3]
        assert (ends >= np.array(cell) * CELL - REACH).all()
        assert (ends <= (np.array(cell) + 1) * CELL + REACH).all()


def test_a_part_of_the_cells_grows_the_same_neurons() -> None:
    """Cells grown alone give the rows and ids that they have among others, in the same order."""
    rows, ids, starts = neurites_of(1, CELLS)
    part = np.array([[-1, 1, 2], [1, 2, 4]])
    alone_rows, alone_ids, _ = neurites_of(1, part)
    numbers = chosen(starts, CELLS, part)
    assert np.array_equal(rows[numbers], alone_rows)
    assert np.array_equal(ids[numbers], alone_ids)


def test_every_cell_has_its_neurons_under_ids_of_their_own() -> None:
    """Eight cells hold eight times the neurons of one, no id twice."""
    _, ids, starts = neurites_of(0, CELLS)
    assert len(np.unique(ids)) == 8 * NEURONS
    assert [len(np.unique(ids[a:b])) for a, b in pairwise(starts)] == [NEURONS] * 8


def test_cells_near_a_place_are_those_that_reach_it() -> None:
    """A place in the middle of a cell asks that cell and its neighbours, no others."""
    middle = np.array([0.5, -0.5, 7.5]) * CELL
    assert cells_near(middle, middle).tolist() == [[-1, -2, 6], [2, 1, 9]]
