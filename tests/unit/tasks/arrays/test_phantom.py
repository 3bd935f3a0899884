"""The phantom depends on seed and place only."""

from __future__ import annotations

import math
from dataclasses import replace

import cc3d
import numpy as np
import pytest

from emseg.tasks.arrays.neurites import INVERSE, MITO, WEIGHT, cells_near, neurites_of
from emseg.tasks.arrays.phantom import (
    BLANK_FIRST_VX,
    BLANK_LENGTH_VX,
    GAP_AT_VX,
    PhantomParams,
    _tissue,
    phantom,
    phantom_affinities,
)
from emseg.tasks.arrays.phantom_objects import soma_of
from emseg.tasks.arrays.phantom_tissue import MARGIN, MITO_DEPTH, RIM, SOFT, warped
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import ConfigError
from emseg.tasks.volume.grid import Grid

BOX = BBox.of((37, -20, 121), (75, 30, 150))


@pytest.mark.parametrize(
    "params",
    [
        PhantomParams(),
        PhantomParams.everything(3),
        PhantomParams(1, (4.0, 4.0, 40.0)),
        PhantomParams(2, detector_sigma=20.0),
    ],
)
@pytest.mark.parametrize("chunk_vx", [(10, 50, 7), (38, 13, 20)])
def test_cuts_do_not_show(params: PhantomParams, chunk_vx: tuple[int, int, int]) -> None:
    """Image, truth and affinities of a box are those of its parts, byte for byte, however it is cut."""
    image, labels = phantom(BOX, params)
    affinities = phantom_affinities(BOX, params)
    grid = Grid(BOX, chunk_vx)
    for index in grid.indices():
        core = grid.core(index)
        at = core.slices_ZYX(BOX.min)
        part = phantom(core, params)
        assert np.array_equal(part[0], image[at])
        assert np.array_equal(part[1], labels[at])
        assert np.array_equal(phantom_affinities(core, params), affinities[:, *at])


def test_another_seed_is_other_tissue() -> None:
    """Two seeds share hardly a label."""
    one, two = (phantom(BBox.sized((0, 0, 0), (48, 48, 48)), PhantomParams(seed))[1] for seed in (0, 1))
    assert (one == two).mean() < 0.5


@pytest.mark.parametrize("seed", range(3))
def test_plain_tissue_is_dense_and_a_neuron_is_one_piece_but_for_strays(seed: int) -> None:
    """Without objects every voxel has an owner; pieces that lie wholly in a box (so that nothing joins them outside
    either) and are not all of their neuron hold fewer than 1 voxel in 5,000."""
    labels = phantom(BBox.sized((0, 0, 0), (128, 128, 128)), PhantomParams(seed))[1]
    assert (labels > 0).all()
    assert strays(labels) < labels.size / 5000


def strays(labels_ZYX: np.ndarray) -> int:
    """Voxels of the 6-connected pieces that touch no face of the box, those aside that are all of their neuron."""
    small = np.unique(labels_ZYX, return_inverse=True)[1].reshape(labels_ZYX.shape).astype(np.uint32) + 1
    pieces, count = cc3d.connected_components(small, connectivity=6, return_N=True)
    sizes, owners = np.bincount(pieces.ravel(), minlength=count + 1), np.zeros(count + 1, np.int64)
    owners[pieces.ravel()] = small.ravel()
    inner = np.ones(count + 1, bool)
    for axis in range(3):
        for face in (0, -1):
            inner[np.unique(np.take(pieces, face, axis))] = False
    several = np.bincount(owners[1:])[owners] > 1
    inner[0] = False
    return int(sizes[inner & several].sum())


def test_strays_are_counted() -> None:
    """Of two pieces of an id one within the box is a stray; an id wholly within it, and one cut by a face, are none."""
    labels = np.ones((9, 9, 9), np.uint64)
    labels[:, :, 0] = 7
    labels[4, 4, 4:6] = 7
    labels[2, 2, 2] = 8
    assert strays(labels) == 2


@pytest.mark.parametrize("params", [PhantomParams(), PhantomParams(2, (4.0, 4.0, 40.0))])
def test_owners_margins_and_mitochondria_are_those_of_the_plain_rule(params: PhantomParams) -> None:
    """Voxels have the owner, margin and mitochondrion depth that a search through every segment, in NumPy, gives."""
    box = BBox.sized((70, -60, 5), (20, 20, 12))
    tissue = _tissue(box, params, planes=3)
    cell_vx = (4, 4, 4) if params.voxel_nm[2] == 10 else (10, 10, 1)
    voxel = np.array(params.voxel_nm) / 10
    for z, y, x in np.random.default_rng(0).integers(0, (12, 20, 20), (60, 3)):
        place = plain_place((x + 70, y - 60, z + 5), cell_vx, voxel, params.seed)
        owner, margin, depth = plain_rule(place, params.seed)
        assert tissue.labels_ZYX[z, y, x] == owner
        assert tissue.planes_CZYX[MARGIN, z, y, x] == pytest.approx(margin, abs=1e-4)
        assert tissue.planes_CZYX[MITO_DEPTH, z, y, x] == pytest.approx(depth, abs=1e-4)


def plain_place(at: tuple[int, int, int], cell_vx: tuple[int, int, int], voxel: np.ndarray, seed: int) -> np.ndarray:
    """Warped place (10 nm) of a voxel: the warp at its cell's eight corners, blended."""
    cells = [(v + 0.5) / c for v, c in zip(at, cell_vx, strict=True)]
    low = [math.floor(c) for c in cells]
    out = np.zeros(3)
    for corner in np.ndindex(2, 2, 2):
        weight = math.prod((c - n) if up else 1 - (c - n) for c, n, up in zip(cells, low, corner, strict=True))
        warp = np.empty(3)
        warped(seed, *((n + up) * c * v for n, up, c, v in zip(low, corner, cell_vx, voxel, strict=True)), warp)
        out += weight * warp
    return out


def plain_rule(place: np.ndarray, seed: int) -> tuple[int, float, float]:
    """Owner of a place, distance to the nearest membrane and depth in a mitochondrion, by all segments near it."""
    rows, ids, _ = neurites_of(seed, cells_near(place - 50, place + 50))
    away = place - rows[:, :3]
    t = np.clip((away * rows[:, 3:6]).sum(1) * rows[:, INVERSE], 0, 1)
    away -= t[:, None] * rows[:, 3:6]
    weight = rows[:, WEIGHT] + t * (rows[:, WEIGHT + 1] - rows[:, WEIGHT])
    distance = np.linalg.norm(away, axis=1)
    score, way = distance * weight, away / distance[:, None]
    best = int(score.argmin())
    others = ids != ids[best]
    slope = np.linalg.norm(weight[:, None] * way - weight[best] * way[best], axis=1)
    margin = min(RIM, float(((score - score[best])[others] / slope[others]).min()))
    own = rows[(ids == ids[best]) & (rows[:, MITO + 2] > 0)]
    away = place - own[:, :3]
    t = np.clip((away * own[:, 3:6]).sum(1) * own[:, INVERSE], own[:, MITO], own[:, MITO + 1])
    depths = own[:, MITO + 2] - np.linalg.norm(away - t[:, None] * own[:, 3:6], axis=1)
    return int(ids[best]), margin, float(depths.max(initial=-SOFT))


def test_membranes_are_dark_and_the_image_is_grey_like_em() -> None:
    """Voxels beside a border are darker than the rest; mean and spread lie near FIB-SEM's, 130 and 34."""
    image, labels = phantom(BBox.sized((0, 0, 0), (128, 128, 96)), PhantomParams())
    border = np.zeros(labels.shape, bool)
    for axis in range(3):
        border |= labels != np.roll(labels, 1, axis)
    assert image[border].mean() < image[~border].mean() - 25
    assert 115 < image.mean() < 145
    assert 28 < image.std() < 40


def test_a_blank_has_no_truth_and_a_gap_keeps_it() -> None:
    """Both are black sections; the truth of a blank is 0, that of a gap is what it is without the gap."""
    params = PhantomParams.everything()
    image, labels = phantom(BBox.of((0, 0, BLANK_FIRST_VX), (32, 32, BLANK_FIRST_VX + 1)), params)
    assert not image.any()
    assert not labels.any()
    gap = BBox.of((0, 0, GAP_AT_VX - 1), (64, 64, GAP_AT_VX + 2))
    image, labels = phantom(gap, params)
    assert not image[1].any()
    assert image[0].all()
    assert image[2].all()
    assert np.array_equal(labels, phantom(gap, replace(params, gap=False))[1])
    assert labels.any()


@pytest.mark.parametrize(("first", "sections"), [(BLANK_FIRST_VX, BLANK_LENGTH_VX), (GAP_AT_VX, 1)])
def test_black_sections_have_no_affinity(first: int, sections: int) -> None:
    """Edges with an end in a black section have code 0, up from the last one too; all others are as without it."""
    box = BBox.of((0, 0, first - 2), (24, 24, first + sections + 2))
    codes = phantom_affinities(box, PhantomParams(blank=True, gap=True))
    plain = phantom_affinities(box, PhantomParams())
    plain[:, 2 : 2 + sections] = 0
    plain[2, 2 + sections] = 0
    assert np.array_equal(codes, plain)


def test_a_soma_is_one_cell_with_a_nucleus_and_takes_its_voxels() -> None:
    """Within a soma's ball every voxel has its id, and grey values but for its rim are unlike those without it."""
    ball = np.zeros(4)
    corner = next(c for c in np.ndindex(4, 4, 4) if soma_of(0, *c, ball))
    soma = soma_of(0, *corner, ball)
    box = BBox.sized([int(v) for v in ball[:3]], (24, 24, 8))
    image, labels = phantom(box, PhantomParams(soma=True))
    assert (labels == soma).all()
    assert (image == phantom(box, PhantomParams())[0]).mean() < 0.5


def test_refuses_impossible_tissue() -> None:
    """A negative seed, a flat voxel and negative noise are refused in one line."""
    with pytest.raises(ConfigError, match="seed"):
        PhantomParams(-1)
    with pytest.raises(ConfigError, match="voxel"):
        PhantomParams(0, (10.0, 0.0, 10.0))
    with pytest.raises(ConfigError, match="noisiness"):
        PhantomParams(noisiness=-0.1)


def test_affinities_follow_the_truth() -> None:
    """Edges within a neuron are surer than edges between two."""
    box = BBox.sized((8, 8, 8), (64, 64, 48))
    labels = phantom(box.padded(1, 0), PhantomParams())[1]
    codes = phantom_affinities(box, PhantomParams())
    same = labels[1:, 1:, 1:] == labels[1:, 1:, :-1]
    assert codes[0][same].mean() > 180
    assert codes[0][~same].mean() < 40


def test_detector_noise_is_white_and_as_strong_as_asked() -> None:
    """The difference from the quiet phantom has that standard deviation and no correlation; the truth is the same."""
    quiet, labels = phantom(BOX, PhantomParams(2))
    noisy, same = phantom(BOX, PhantomParams(2, detector_sigma=10.0))
    noise = noisy.astype(float) - quiet
    middle = (quiet > 50) & (quiet < 205)  # where nothing is clipped
    assert abs(noise[middle].std() - 10) < 0.5
    assert abs(np.corrcoef(noise[..., 1:].ravel(), noise[..., :-1].ravel())[0, 1]) < 0.03
    assert np.array_equal(labels, same)
