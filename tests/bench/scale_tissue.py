"""What the rows that go up come from: on the open sides or only frozen, and which tissue, for `scale.py`."""

from __future__ import annotations

import numpy as np
from bench.scale_tasks import TISSUE

from emseg.tasks.arrays.forest import Up
from emseg.tasks.arrays.phantom import BLANK_FIRST_VX, BLANK_LENGTH_VX, BLANK_PERIOD_VX
from emseg.tasks.arrays.phantom_objects import EMPTY, FAR, GLIA_ID, SOMA, SOMA_ID, VESSEL_ID, overlay
from emseg.tasks.volume.codes import voxel_of

SAMPLE = 4000
KINDS = ("neurite", "soma", "glia", "vessel", "beside a blank")
FLAGS = np.ones(4, bool)


def residual_of(up: Up) -> dict[str, float]:
    """Shares of the rows that a node hands up: by how many ends lie on an open side, by tissue of a row's ends, and
    of the cluster with the most rows."""
    on_side = np.unique(up.fragment_cluster)
    out = {}
    for phase, u, v in (("s", up.s_u, up.s_v), ("a", up.a_u, up.a_v)):
        if not len(u):
            continue
        ends = np.isin(u, on_side).astype(int) + np.isin(v, on_side)
        out |= {f"{phase} {n} ends on a side": float((ends == n).mean()) for n in (2, 1, 0)}
        _, counts = np.unique(np.concatenate([u, v]), return_counts=True)
        out[f"{phase} of one cluster"] = float(counts.max() / len(u))
        rng = np.random.default_rng(0)
        kinds = np.array([kind_of(int(h)) for h in rng.choice(np.concatenate([u, v]), min(SAMPLE, 2 * len(u)))])
        out |= {f"{phase} {name}": float((kinds == n).mean()) for n, name in enumerate(KINDS)}
    return out


def kind_of(handle: int) -> int:
    """Number in KINDS of the least voxel of a fragment or cluster."""
    x, y, z = voxel_of(handle - 1)
    if (z - BLANK_FIRST_VX) % BLANK_PERIOD_VX in (BLANK_LENGTH_VX, BLANK_PERIOD_VX - 1):
        return 4
    label, plane = np.zeros((1, 1, 1), np.uint64), np.full((1, 1, 1, 1), FAR, np.float32)
    state = np.zeros((1, 1, 1), np.uint8)
    overlay(label, plane, state, TISSUE.seed, (x, y, z), np.ones(3), FLAGS)
    owner = int(label[0, 0, 0])
    if state[0, 0, 0] == SOMA or owner >= SOMA_ID:
        return 1
    if state[0, 0, 0] == EMPTY:
        return 3
    return {GLIA_ID: 2, VESSEL_ID: 3}.get(owner, 0)
