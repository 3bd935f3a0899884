"""The phantom: EM-like tissue with dense truth, any box of it, from a seed alone.

1. The box is cut into bricks of the tissue's own lattice (`phantom_tissue`), anchored at absolute 0.
2. Each brick's neurites are grown anew and its voxels classified: owner, distance to the membrane, mitochondria.
3. What breaks pipelines is laid over it (`phantom_objects`); grey values or affinities are drawn (`phantom_render`).

So every voxel depends on seed and place only, memory is bounded by the box, and any two boxes agree where they meet.
Truth is connected but for places where a neurite is thinner than a voxel, or is cut by an object or a blank.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numba
import numpy as np

from emseg.tasks.arrays import phantom_objects as objects
from emseg.tasks.arrays.neurites import neurites_near
from emseg.tasks.arrays.phantom_objects import EMPTY, FAR, NOTHING, TISSUE
from emseg.tasks.arrays.phantom_render import add_noise, edges, grey
from emseg.tasks.arrays.phantom_tissue import CELLS, MARGIN, RIM, classify, warp_corners
from emseg.tasks.volume.bbox import BBox, Vec, vec

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
        blank: every 512 sections, 12 are black, with truth 0.
        gap: every 256 sections, one is black; its truth stays.
        noisiness: standard deviation of affinities made straight from the truth.
        detector_sigma: standard deviation, in grey levels, of white noise on top of the image.
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

    @classmethod
    def everything(cls, seed: int = 0) -> PhantomParams:
        """All that breaks pipelines."""
        return cls(seed, soma=True, glia=True, vessel=True, resin=True, blank=True, gap=True)


@dataclass(frozen=True)
class Tissue:
    """Truth of a box: labels uint64, planes float32 [margin, mitochondria, core], state uint8, all [.., z, y, x]."""

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
    for z in range(box.min[2], box.max[2]):
        if params.blank and _is_blank(z):
            image_ZYX[z - box.min[2]] = labels_ZYX[z - box.min[2]] = 0
        if params.gap and z % GAP_PERIOD_VX == GAP_AT_VX:
            image_ZYX[z - box.min[2]] = 0
    return image_ZYX, labels_ZYX


def phantom_affinities(box: BBox, params: PhantomParams) -> np.ndarray:
    """uint8 [3, z, y, x]: linear codes of the edges to x−1, y−1, z−1, straight from the truth, with noise."""
    wide = box.padded(1, 0)
    tissue = _tissue(wide, params, planes=1)
    labels_ZYX = np.where(tissue.state_ZYX == EMPTY, np.uint64(0), tissue.labels_ZYX)
    for z in range(wide.min[2], wide.max[2]):
        if params.blank and _is_blank(z):
            labels_ZYX[z - wide.min[2]] = 0
    codes_CZYX = np.empty((3, *box.shape_ZYX), np.uint8)
    edges(codes_CZYX, labels_ZYX, tissue.planes_CZYX[MARGIN], params.seed, box.min, params.noisiness)
    return codes_CZYX


def _is_blank(z: int) -> bool:
    return BLANK_FIRST_VX <= z % BLANK_PERIOD_VX < BLANK_FIRST_VX + BLANK_LENGTH_VX


def _voxel(params: PhantomParams) -> np.ndarray:
    return np.array(params.voxel_nm, np.float64) / 10.0


def _tissue(box: BBox, params: PhantomParams, planes: int) -> Tissue:
    labels_ZYX = np.empty(box.shape_ZYX, np.uint64)
    planes_CZYX = np.empty((planes, *box.shape_ZYX), np.float32)
    cell_vx = vec([max(1, round(CELL_NM / n)) for n in params.voxel_nm])
    for brick, part in _bricks(box, cell_vx):
        low = [b * CELLS * c for b, c in zip(brick, cell_vx, strict=True)]
        window = np.array([*(part.shifted([-v for v in low]).min), *(part.shifted([-v for v in low]).max)], np.int64)
        corners = warp_corners(params.seed, brick, cell_vx, _voxel(params))
        places = corners.reshape(-1, 3)
        rows, ids = neurites_near(params.seed, places.min(0), places.max(0))
        at = part.slices_ZYX(box.min)
        labels, found = np.empty(part.shape_ZYX, np.uint64), np.empty((planes, *part.shape_ZYX), np.float32)
        rim = RIM if planes > 1 else AFFINITY_RIM
        classify(rows, ids, corners, cell_vx, window, rim, labels, found)
        labels_ZYX[at], planes_CZYX[(slice(None), *at)] = labels, found
    state_ZYX = np.full(box.shape_ZYX, TISSUE, np.uint8)
    if params.soma or params.glia or params.vessel or params.resin:
        flags = np.array([params.soma, params.glia, params.vessel, params.resin])
        _overlay(labels_ZYX, planes_CZYX, state_ZYX, params.seed, box.min, _voxel(params), flags)
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


@numba.njit(cache=True)
def _overlay(
    labels_ZYX: np.ndarray,
    planes_CZYX: np.ndarray,
    state_ZYX: np.ndarray,
    seed: int,
    low: tuple[int, int, int],
    voxel: np.ndarray,
    flags: np.ndarray,
) -> None:
    """Lay somata, glia, vessels and resin over the neurites, in this order of growing right."""
    for k in range(labels_ZYX.shape[0]):
        for j in range(labels_ZYX.shape[1]):
            for i in range(labels_ZYX.shape[2]):
                x, y, z = (i + low[0]) * voxel[0], (j + low[1]) * voxel[1], (k + low[2]) * voxel[2]
                owner, margin, state = np.uint64(0), FAR, NOTHING
                if flags[1]:
                    depth = objects.glia_at(seed, x, y, z)
                    margin = min(margin, abs(depth))
                    if depth > 0.0:
                        owner, state = np.uint64(objects.GLIA_ID), TISSUE
                if flags[0]:
                    soma, border, _ = objects.soma_at(seed, x, y, z)
                    if soma > 0:
                        owner, margin, state = soma, border, TISSUE
                    else:
                        margin = min(margin, border)
                if flags[2]:
                    d = objects.vessel_at(seed, x, y, z)
                    outer, inner = objects.VESSEL_RADIUS, objects.VESSEL_RADIUS - objects.VESSEL_WALL
                    if d < inner:
                        owner, margin, state = np.uint64(0), inner - d, EMPTY
                    elif d < outer:
                        owner, margin, state = np.uint64(objects.VESSEL_ID), min(outer - d, d - inner), TISSUE
                    else:
                        margin = min(margin, d - outer)
                if flags[3] and objects.is_resin(seed, x, y, z):
                    owner, margin, state = np.uint64(0), FAR, EMPTY
                if state != NOTHING:
                    labels_ZYX[k, j, i], state_ZYX[k, j, i] = owner, state
                    planes_CZYX[0, k, j, i] = margin
                    if len(planes_CZYX) > 1:
                        planes_CZYX[1, k, j, i], planes_CZYX[2, k, j, i] = -FAR, 4 * FAR
                else:
                    planes_CZYX[0, k, j, i] = min(planes_CZYX[0, k, j, i], margin)
