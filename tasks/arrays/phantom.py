"""The phantom: EM-like tissue with dense truth, any box of it, from a seed alone.

1. The box is cut into bricks of the tissue's own lattice (`phantom_tissue`), anchored at absolute 0.
2. Each brick's neurites are grown anew and its voxels classified: owner, distance to the membrane, mitochondria.
3. What breaks pipelines is laid over it (`phantom_objects`); grey values or affinities are drawn (`phantom_render`).

So every voxel depends on seed and place only, memory is bounded by the box, and any two boxes agree where they meet.

What the truth promises: one id is one neuron, a tree whose centre line is connected in the infinite phantom. Its
voxels are one piece there too, but for strays, pieces cut off where it is thinner than a voxel or passes behind
another: without objects, fewer than 1 voxel in 5,000. Objects and blanks cut more; the id stays the same on both sides.
A box cuts a neuron anywhere, so that in a box one id may be several pieces that only meet outside.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from emseg.tasks.arrays.neurites import cells_near, chosen, neurites_of
from emseg.tasks.arrays.phantom_objects import EMPTY, TISSUE, overlay
from emseg.tasks.arrays.phantom_render import add_noise, edges, grey
from emseg.tasks.arrays.phantom_tissue import CELLS, MARGIN, RIM, WARP_AT_MOST, classify, warp_corners
from emseg.tasks.volume.bbox import BBox, Vec, vec
from emseg.tasks.volume.errors import ConfigError

CELL_NM = 40.0  # side of a warp cell, as near as whole voxels allow
AFFINITY_RIM = 3.5
BLANK_PERIOD_VX, BLANK_FIRST_VX, BLANK_LENGTH_VX = 512, 300, 12
GAP_PERIOD_VX, GAP_AT_VX = 256, 140


@dataclass(frozen=True)
class PhantomParams:
    """What the tissue is like.

    Attributes:
        seed: decides everything.
        voxel_nm: x, y, z.
        soma, glia, vessel, resin: objects that take voxels from the neurites; resin and lumen have truth 0.
        blank: every 512 sections, 12 are black, with truth 0; a neuron has the same id on both sides.
        gap: every 256 sections, one is missing: black, but the neurons go on through it, and so does the truth.
        noisiness: standard deviation of affinities made straight from the truth.
        detector_sigma: standard deviation, in grey levels, of white noise on top of the image.

    Raises:
        ConfigError: a seed outside [0, 2^63), a voxel size that is not positive, a negative noisiness.
    """

    seed: int = 0
    voxel_nm: tuple[float, float, float] = (10.0, 10.0, 10.0)
    soma: bool = False
    glia: bool = False
    vessel: bool = False
    resin: bool = False
    blank: bool = False
    gap: bool = False
    noisiness: float = 0.06
    detector_sigma: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 1 << 63:
            raise ConfigError(f"seed {self.seed} of the phantom: give an integer in [0, 2^63)")
        if not all(0 < n < math.inf for n in self.voxel_nm):
            raise ConfigError(f"voxel size {self.voxel_nm} of the phantom: give three lengths > 0 nm")
        if not 0 <= self.noisiness < math.inf:
            raise ConfigError(f"noisiness {self.noisiness} of the phantom: give a number >= 0")

    @classmethod
    def everything(cls, seed: int = 0) -> PhantomParams:
        """All that breaks pipelines."""
        return cls(seed, soma=True, glia=True, vessel=True, resin=True, blank=True, gap=True)


@dataclass(frozen=True)
class Tissue:
    """Truth of a box: labels uint64, planes float32 [margin, mitochondria, core], state uint8, all [.., z, y, x].

    In a soma the core plane holds the depth in the nucleus.
    """

    labels_ZYX: np.ndarray
    planes_CZYX: np.ndarray
    state_ZYX: np.ndarray


def phantom(box: BBox, params: PhantomParams) -> tuple[np.ndarray, np.ndarray]:
    """Image uint8 [z, y, x] and truth uint64 [z, y, x] of a box; 0 in the truth is no tissue."""
    tissue = _tissue(box, params, planes=3)
    image_ZYX = np.empty(box.shape_ZYX, np.uint8)
    grey(image_ZYX, tissue.labels_ZYX, tissue.planes_CZYX, tissue.state_ZYX, params.seed, box.min, _voxel(params))
    if params.detector_sigma > 0:
        add_noise(image_ZYX, params.seed, box.min, params.detector_sigma)
    labels_ZYX = np.where(tissue.state_ZYX == EMPTY, np.uint64(0), tissue.labels_ZYX)
    blank_Z, gap_Z = _black(box, params)
    image_ZYX[blank_Z | gap_Z] = 0
    labels_ZYX[blank_Z] = 0
    return image_ZYX, labels_ZYX


def phantom_affinities(box: BBox, params: PhantomParams) -> np.ndarray:
    """uint8 [3, z, y, x]: linear codes of the edges to x−1, y−1, z−1, straight from the truth, with noise.

    An edge with an end in a black section, blank or gap, has code 0, for a network sees nothing there.
    """
    wide = box.padded(1, 0)
    tissue = _tissue(wide, params, planes=1)
    labels_ZYX = np.where(tissue.state_ZYX == EMPTY, np.uint64(0), tissue.labels_ZYX)
    black_Z = np.logical_or(*_black(wide, params))
    codes_CZYX = np.empty((3, *box.shape_ZYX), np.uint8)
    edges(codes_CZYX, labels_ZYX, tissue.planes_CZYX[MARGIN], black_Z, params.seed, box.min, params.noisiness)
    return codes_CZYX


def _black(box: BBox, params: PhantomParams) -> tuple[np.ndarray, np.ndarray]:
    """Which sections of a box are blank and which are gaps: two of bool [z]."""
    z = np.arange(box.min[2], box.max[2])
    since = (z - BLANK_FIRST_VX) % BLANK_PERIOD_VX
    return params.blank & (since < BLANK_LENGTH_VX), params.gap & (z % GAP_PERIOD_VX == GAP_AT_VX)


def _voxel(params: PhantomParams) -> np.ndarray:
    return np.array(params.voxel_nm, np.float64) / 10.0


def _tissue(box: BBox, params: PhantomParams, planes: int) -> Tissue:
    labels_ZYX = np.empty(box.shape_ZYX, np.uint64)
    planes_CZYX = np.empty((planes, *box.shape_ZYX), np.float32)
    cell_vx, voxel = vec([max(1, round(CELL_NM / n)) for n in params.voxel_nm]), _voxel(params)
    side = np.array(cell_vx) * CELLS  # of a brick
    first, last = np.array(box.min) // side, -(-np.array(box.max) // side)
    cells = cells_near(first * side * voxel - WARP_AT_MOST, last * side * voxel + WARP_AT_MOST)
    rows, ids, starts = neurites_of(params.seed, cells)
    for brick, part in _bricks(box, cell_vx):
        low = [b * CELLS * c for b, c in zip(brick, cell_vx, strict=True)]
        window = np.array([*(part.shifted([-v for v in low]).min), *(part.shifted([-v for v in low]).max)], np.int64)
        corners = warp_corners(params.seed, brick, cell_vx, voxel)
        places = corners.reshape(-1, 3)
        among = chosen(starts, cells, cells_near(places.min(0), places.max(0)))
        at = part.slices_ZYX(box.min)
        labels, found = np.empty(part.shape_ZYX, np.uint64), np.empty((planes, *part.shape_ZYX), np.float32)
        rim = RIM if planes > 1 else AFFINITY_RIM
        classify(rows, ids, among, corners, cell_vx, window, rim, labels, found)
        labels_ZYX[at], planes_CZYX[(slice(None), *at)] = labels, found
    state_ZYX = np.full(box.shape_ZYX, TISSUE, np.uint8)
    if params.soma or params.glia or params.vessel or params.resin:
        flags = np.array([params.soma, params.glia, params.vessel, params.resin])
        overlay(labels_ZYX, planes_CZYX, state_ZYX, params.seed, box.min, voxel, flags)
    return Tissue(labels_ZYX, planes_CZYX, state_ZYX)


def _bricks(box: BBox, cell_vx: Vec) -> Iterator[tuple[Vec, BBox]]:
    side = [CELLS * c for c in cell_vx]
    spans = [range(a // s, -(-b // s)) for a, b, s in zip(box.min, box.max, side, strict=True)]
    for k in spans[2]:
        for j in spans[1]:
            for i in spans[0]:
                brick = (i, j, k)
                low = [n * s for n, s in zip(brick, side, strict=True)]
                yield brick, BBox.sized(low, side).clipped(box)
