"""Cores tile the box; keys, indices and meeting cores agree with brute force."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import ConfigError
from emseg.tasks.volume.grid import Grid, key_of

triples = st.tuples(*[st.integers(1, 9)] * 3)
lows = st.tuples(*[st.integers(-20, 20)] * 3)
grids = st.builds(lambda a, s, c: Grid(BBox.sized(a, s), c), lows, st.tuples(*[st.integers(1, 12)] * 3), triples)


@given(grids)
def test_cores_tile_the_box(grid):
    """Every core lies in the box, no two meet, and together they hold all its voxels."""
    cores = [grid.core(i) for i in grid.indices()]
    assert all(grid.bbox.holds(c) and not c.empty for c in cores)
    assert sum(c.voxels for c in cores) == grid.bbox.voxels
    assert len({c.min for c in cores}) == len(cores) == len(grid)


@given(grids)
def test_places_number_the_chunks(grid):
    """place() numbers the chunks from 0 on, x fastest, and index() finds each again."""
    x, y, z = grid.shape
    walk = [(i, j, k) for k in range(z) for j in range(y) for i in range(x)]
    assert [grid.place(i) for i in walk] == list(range(len(grid)))
    assert [grid.index(p) for p in range(len(grid))] == walk


@given(grids)
def test_morton_order_passes_each_index_once(grid):
    """The Morton walk gives every index of the grid exactly once, the first at the origin."""
    x, y, z = grid.shape
    found = list(grid.indices())
    assert found[0] == (0, 0, 0)
    assert sorted(found) == [(i, j, k) for i in range(x) for j in range(y) for k in range(z)]


@given(grids)
def test_morton_order_keeps_neighbours_together(grid):
    """The walk is in the order of interleaved index bits, z above y above x."""

    def interleaved(index):
        return [tuple(i >> bit & 1 for i in reversed(index)) for bit in range(5, -1, -1)]

    found = list(grid.indices())
    assert found == sorted(found, key=interleaved)


@given(grids, lows, triples)
def test_meeting_cores_are_those_that_share_a_voxel(grid, low, size):
    """The indices that meet a box, anywhere, are those that brute force finds."""
    box = BBox.sized(low, size)
    brute = {i for i in grid.indices() if grid.core(i).meets(box)}
    found = list(grid.indices_meeting(box))
    assert set(found) == brute
    assert len(found) == len(brute)


def test_an_empty_box_meets_nothing():
    """No core meets a box without voxels."""
    grid = Grid(BBox.sized((0, 0, 0), (8, 8, 8)), (4, 4, 4))
    assert list(grid.indices_meeting(BBox.sized((2, 2, 2), (0, 4, 4)))) == []


@given(grids)
def test_keys_name_indices(grid):
    """The index of an index's key is that index."""
    assert all(grid.index_of(key_of(i)) == i for i in grid.indices())


@pytest.mark.parametrize("key", ["2_0_0", "0_0", "0_0_0_0", "-1_0_0", "0_0_0 ", "a_0_0", "", "0_0_0\n", "99999999_0_0"])
def test_keys_of_no_chunk_are_refused(key):
    """A key outside the grid, or none at all, is refused with the grid's shape."""
    with pytest.raises(ConfigError, match=r"indices run below \(2, 2, 2\)"):
        Grid(BBox.sized((0, 0, 0), (8, 8, 8)), (4, 4, 4)).index_of(key)


@given(grids, st.tuples(*[st.integers(1, 9)] * 3))
def test_a_coarser_grid_gathers_its_children(grid, factor):
    """The core of a chunk scaled by a factor an axis holds the cores whose index, divided, is its own."""
    nodes = grid.scaled(factor)
    for leaf in grid.indices():
        node = tuple(i // f for i, f in zip(leaf, factor, strict=True))
        assert nodes.core(node).holds(grid.core(leaf))


@pytest.mark.parametrize(("size", "chunk_vx"), [((0, 1, 1), (1, 1, 1)), ((4, 4, 4), (4, 0, 4))])
def test_impossible_grids_are_refused(size, chunk_vx):
    """An empty box, or a chunk without extent, makes no grid."""
    with pytest.raises(ConfigError, match="at least"):
        Grid(BBox.sized((0, 0, 0), size), chunk_vx)


def test_a_huge_grid_costs_no_memory():
    """A grid of 10^15 chunks answers which of them meet a box at once."""
    grid = Grid(BBox.sized((0, 0, 0), (10**6,) * 3), (10, 10, 10))
    assert len(grid) == 10**15
    assert list(grid.indices_meeting(BBox.sized((999_990,) * 3, (10,) * 3))) == [(99_999,) * 3]


@pytest.mark.parametrize("key", ["00_0_0", "0_01_0", "0_0_000", "\u0660_0_0", "0_\uff11_0", "0_0_0\n", "+1_0_0"])
def test_an_index_is_written_in_one_way(key):
    """Leading zeros and the digits of other scripts are no key, though they would name an index."""
    with pytest.raises(ConfigError, match="not of this grid"):
        Grid(BBox.sized((0, 0, 0), (8, 8, 8)), (4, 4, 4)).index_of(key)


overlapping = st.builds(
    lambda a, s, c, o: Grid(BBox.sized(a, s), c, o),
    lows,
    st.tuples(*[st.integers(1, 14)] * 3),
    triples,
    st.tuples(*[st.integers(0, 7)] * 3),
)


@given(overlapping)
def test_cores_of_overlapping_chunks_tile_the_box(grid):
    """Cores lie in their chunks, none is empty, no two meet, and together they hold all voxels."""
    cores = {i: grid.core(i) for i in grid.indices()}
    assert all(grid.whole(i).holds(c) and not c.empty for i, c in cores.items())
    assert sum(c.voxels for c in cores.values()) == grid.bbox.voxels
    for index, core in cores.items():
        assert list(grid.indices_meeting(core)) == [index]
        assert list(grid.indices_meeting(BBox.sized([b - 1 for b in core.max], (1, 1, 1)))) == [index]


@given(overlapping)
def test_a_seam_is_what_two_chunks_share(grid):
    """Along its axis a seam is the overlap of both chunks; across it is as wide as both cores."""
    for index in grid.indices():
        for axis in range(3):
            if index[axis] == 0:
                continue
            below = tuple(i - (a == axis) for a, i in enumerate(index))
            shared = grid.whole(index).clipped(grid.whole(below))
            seam = grid.seam(index, axis)
            for a in range(3):
                across = (grid.core(index), grid.core(below)) if a != axis else (shared,)
                assert all((seam.min[a], seam.max[a]) == (box.min[a], box.max[a]) for box in across)


@given(overlapping)
def test_nodes_over_overlapping_chunks_hold_whole_cores(grid):
    """A level of the tree is a grid whose cores are unions of two cores along each axis of the level below."""
    above = grid.scaled((2, 2, 2))
    for index in grid.indices():
        assert above.core(tuple(i // 2 for i in index)).holds(grid.core(index))
    assert above.shape == tuple(-(-n // 2) for n in grid.shape)
