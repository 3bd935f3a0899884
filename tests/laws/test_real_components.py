"""The law of components on real labels, against cc3d on the whole: a crop here, all with `make test-real`."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import cc3d
import crackle
import numpy as np
import pytest
from laws.component_sweeps import swept
from laws.volumes import whole

from emseg.tasks.arrays.contingency import contingency
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.codes import codes_of_box

DATA = Path(os.environ.get("EMSEG_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
FILE = DATA / "labels" / "pinky40_512.npy.ckl.gz"
COMPONENTS = 3619  # of the whole, 26-connected, as its readme says


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    """uint32 [z, y, x], 512³ voxels of mouse cortex."""
    if not FILE.is_file():
        pytest.skip(f"real labels are not at {FILE}; set EMSEG_DATA")
    out: np.ndarray = crackle.decompress(gzip.decompress(FILE.read_bytes())).T
    return out


def _require_same(found_ZYX: np.ndarray, wanted_ZYX: np.ndarray) -> int:
    """Check that two volumes have the same components, whatever their ids; their number."""
    table = contingency(found_ZYX, wanted_ZYX)
    joint = (table.seg > 0) | (table.gt > 0)
    pairs = np.stack([table.seg[joint], table.gt[joint]])
    assert (pairs > 0).all()
    assert len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]
    return int(pairs.shape[1])


BOX = BBox.sized((-100, 900, 7), (512, 512, 512))


def _agree(values_ZYX: np.ndarray, chunk_vx: tuple[int, int, int], connectivity: int, dust_vx: int) -> int:
    """Components over a grid of at least 60 chunks equal cc3d's of the whole, and emseg's of one chunk to the byte."""
    box = BBox.sized(BOX.min, values_ZYX.shape[::-1])
    cuts = [[*range(a, b, c), b] for a, b, c in zip(*box, chunk_vx, strict=True)]
    assert np.prod([len(c) - 1 for c in cuts]) >= 60
    found_ZYX = swept(values_ZYX, box, cuts, connectivity, dust_vx)
    assert np.array_equal(found_ZYX, swept(values_ZYX, box, whole(box), connectivity, dust_vx))
    alike_ZYX = cc3d.connected_components(values_ZYX, connectivity=connectivity)
    if dust_vx:
        alike_ZYX[np.bincount(alike_ZYX.reshape(-1))[alike_ZYX] < dust_vx] = 0
    return _require_same(found_ZYX, alike_ZYX)


@pytest.mark.parametrize(("connectivity", "dust_vx"), [(6, 0), (18, 500), (26, 0), (26, 500)])
def test_a_real_crop_over_60_chunks(labels: np.ndarray, connectivity: int, dust_vx: int) -> None:
    """200³ voxels in 60 odd chunks: cc3d's components of the whole, with dust and without."""
    crop = np.ascontiguousarray(labels[150:350, 200:400, 100:300])
    assert _agree(crop, (67, 51, 45), connectivity, dust_vx) > 100


def test_real_ids_are_those_of_the_first_voxel(labels: np.ndarray) -> None:
    """Each component is called 1 + the code of its least voxel."""
    crop = np.ascontiguousarray(labels[:60, :70, :80])
    box = BBox.sized(BOX.min, (80, 70, 60))
    found_ZYX = swept(crop, box, [[*range(a, b, 33), b] for a, b in zip(*box, strict=True)], 26, 0)
    ids, first = np.unique(found_ZYX, return_index=True)
    assert np.array_equal(ids[ids > 0], codes_of_box(box).reshape(-1)[first[ids > 0]] + np.uint64(1))


@pytest.mark.real
def test_the_whole_over_80_chunks(labels: np.ndarray) -> None:
    """512³ voxels in 80 odd chunks: 3,619 components, and fewer by exactly the small ones with dust."""
    assert _agree(labels, (131, 127, 149), 26, 0) == COMPONENTS
    assert 0 < _agree(labels, (149, 131, 127), 26, 1000) < COMPONENTS
