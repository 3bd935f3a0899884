"""The law of connected components: over any grid the bytes of the whole volume, ids and dust included."""

from __future__ import annotations

import numpy as np
import pytest
from laws.component_sweeps import of_the_whole, random_labels, swept
from laws.counts import in_parts
from laws.volumes import GRIDS, cuts_of, whole
from oracles.components import flooded

from emseg.tasks.volume.bbox import BBox

CONNECTIVITIES = (6, 18, 26)


def _different(seed: int, connectivity: int) -> list[tuple[int, str]]:
    """The kinds of grid that show."""
    case = random_labels(seed, 4, 15 if seed % 4 == 0 else 10)
    wanted = of_the_whole(case.values_ZYX, case.bbox, connectivity, case.dust_vx).tobytes()
    grids = {kind: cuts_of(kind, case.bbox, seed) for kind in GRIDS} | {"whole": whole(case.bbox)}
    return [
        (seed, kind)
        for kind, cuts in grids.items()
        if swept(case.values_ZYX, case.bbox, cuts, connectivity, case.dust_vx).tobytes() != wanted
    ]


@in_parts
@pytest.mark.parametrize("connectivity", CONNECTIVITIES)
def test_any_grid_gives_what_cc3d_gives_of_the_whole(connectivity: int, seeds: range) -> None:
    """Over sparse, dense and lumpy volumes of few labels, with dust and without, each grid equals cc3d on the whole."""
    assert [found for seed in seeds for found in _different(seed, connectivity)] == []


@pytest.mark.parametrize("connectivity", CONNECTIVITIES)
@pytest.mark.parametrize("seed", range(6))
def test_the_whole_gives_what_a_flood_gives(seed: int, connectivity: int) -> None:
    """Plain Python that floods from voxel to voxel finds the same ids in one chunk and in chunks of 2 voxels."""
    case = random_labels(seed, 3, 7)
    wanted = flooded(case.values_ZYX, case.bbox, connectivity, case.dust_vx)
    cuts = [[*range(a, b, 2), b] for a, b in zip(*case.bbox, strict=True)]
    for grid in (whole(case.bbox), cuts):
        assert np.array_equal(swept(case.values_ZYX, case.bbox, grid, connectivity, case.dust_vx), wanted)


@pytest.mark.parametrize(("connectivity", "axes"), [(18, 1), (26, 1), (26, 2)])
def test_leaves_that_do_not_meet_in_edges_and_corners_are_caught(connectivity: int, axes: int) -> None:
    """Without the meetings in edges, or in corners alone, some volume of 20 comes apart."""
    lost = 0
    for seed in range(20):
        case = random_labels(seed, 4, 9)
        cuts = [[*range(a, b, 2), b] for a, b in zip(*case.bbox, strict=True)]
        chunked = swept(case.values_ZYX, case.bbox, cuts, connectivity, 0, axes)
        lost += not np.array_equal(chunked, of_the_whole(case.values_ZYX, case.bbox, connectivity, 0))
    assert lost > 0


def test_dust_of_one_chunk_is_not_dust() -> None:
    """Dropping what is small inside its own chunk gives other bytes: sizes must be those of the whole."""
    lost = 0
    for seed in range(25):
        case = random_labels(seed)
        trimmed = case.values_ZYX.copy()
        for core in np.ndindex(*(-(-n // 5) for n in trimmed.shape)):
            part = trimmed[tuple(slice(5 * i, 5 * i + 5) for i in core)]
            part[of_the_whole(part, BBox.sized((0, 0, 0), part.shape[::-1]), 26, case.dust_vx) == 0] = 0
        chunked = of_the_whole(trimmed, case.bbox, 26, 0)
        lost += not np.array_equal(chunked, of_the_whole(case.values_ZYX, case.bbox, 26, case.dust_vx))
    assert lost > 5


def test_the_cases_do_join_and_do_fall_apart() -> None:
    """The random volumes are no empty trial: connectivities differ, labels touch, dust falls, something stays."""
    differ = dusted = kept = 0
    for seed in range(25):
        case = random_labels(seed)
        counts = [len(np.unique(of_the_whole(case.values_ZYX, case.bbox, c, 0))) for c in CONNECTIVITIES]
        clean = len(np.unique(of_the_whole(case.values_ZYX, case.bbox, 26, case.dust_vx)))
        differ += counts[0] > counts[1] > counts[2]
        dusted += clean < counts[2]
        kept += clean > 2
    assert differ > 8
    assert dusted > 5
    assert kept > 8
