"""The 48 symmetries of a cube, on images and on affinities: a channel becomes another, kept at its edge's other end.

Turned by a symmetry, offset o becomes ±(an offset of the list). Where the sign is −, the edge is kept at its other end:
affinity of o at w is what the turned network said at w + o. Forgetting this averages unlike edges.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

Offset = tuple[int, int, int]
Slices = tuple[slice, slice, slice]


class Symmetry(NamedTuple):
    """Axis a (z, y, x) of the turned array is axis `order[a]` of the given one, reversed if `flips[a]`."""

    order: tuple[int, int, int]
    flips: tuple[bool, bool, bool]


IDENTITY = Symmetry((0, 1, 2), (False, False, False))


def symmetries() -> list[Symmetry]:
    """All 48, the identity first."""
    orders = [(a, b, c) for a, b, c in itertools.permutations(range(3))]
    flips = [(a, b, c) for a, b, c in itertools.product((False, True), repeat=3)]
    return [Symmetry(order, flip) for order in orders for flip in flips]


def views_of(tta: str) -> list[Symmetry]:
    """Views of test-time augmentation: "none", "flips" (8), or "all" (48, which exchange axes).

    Raises:
        ValueError: another word.
    """
    everything = symmetries()
    views = {"none": [IDENTITY], "flips": [s for s in everything if s.order == IDENTITY.order], "all": everything}
    if tta not in views:
        raise ValueError(f"test-time augmentation {tta!r} is unknown: use {', '.join(views)}")
    return views[tta]


def require_views(views: Sequence[Symmetry], patch_vx: Sequence[int], offsets: Sequence[Offset]) -> None:
    """Check that a network can be averaged over views.

    Raises:
        ValueError: a view exchanges axes on which patches differ, or leads to an offset that is no channel.
    """
    sides = tuple(reversed(patch_vx))
    both = {*offsets, *(_opposite(o) for o in offsets)}
    for view in views:
        if tuple(sides[axis] for axis in view.order) != sides:
            raise ValueError(f"exchanges axes, but patches are {list(patch_vx)}; use flips")
        if strange := [o for o in offsets if _offset_back(view, o) not in both]:
            raise ValueError(f"turns offset {list(strange[0])} into one that is no channel; use flips or none")


def turn(symmetry: Symmetry, array: np.ndarray) -> np.ndarray:
    """The array [..., z, y, x], any dtype, turned: a view."""
    lead = tuple(range(array.ndim - 3))
    moved = np.transpose(array, (*lead, *(len(lead) + axis for axis in symmetry.order)))
    return _flipped(symmetry, moved)


def turn_back(symmetry: Symmetry, array: np.ndarray) -> np.ndarray:
    """What `turn` was given, of its result: a view."""
    lead = tuple(range(array.ndim - 3))
    plain = _flipped(symmetry, array)
    back = tuple(symmetry.order.index(axis) for axis in range(3))
    return np.transpose(plain, (*lead, *(len(lead) + axis for axis in back)))


def affinities_back(symmetry: Symmetry, turned_CZYX: np.ndarray, offsets: Sequence[Offset]) -> np.ndarray:
    """Affinities or logits of the image, of those of the turned image.

    Args:
        symmetry: how the image was turned.
        turned_CZYX: float32 [..., c, z, y, x], channels as in `offsets`.
        offsets: x, y, z.

    Returns:
        float32, turned back; NaN where the edge leaves the array and the turned network did not see it.

    Raises:
        ValueError: turning leads to an offset that is not in the list.
    """
    plain = turn_back(symmetry, turned_CZYX)
    out: np.ndarray = np.full(plain.shape, np.nan, np.float32)
    for channel, offset in enumerate(offsets):
        came_from = _offset_back(symmetry, offset)
        opposite = _opposite(came_from)
        if came_from in offsets:
            out[..., list(offsets).index(came_from), :, :, :] = plain[..., channel, :, :, :]
        elif opposite in offsets:
            (z, y, x), (to_z, to_y, to_x) = edge_slices(opposite, plain.shape[-3:])
            out[..., list(offsets).index(opposite), z, y, x] = plain[..., channel, to_z, to_y, to_x]
        else:
            raise ValueError(f"offset {list(offset)} turned is {list(came_from)}, which is no channel of the model")
    return out


def edge_slices(offset: Offset, shape_ZYX: Sequence[int]) -> tuple[Slices, Slices]:
    """Slices [z, y, x] of the voxels whose other end, at `offset` (x, y, z), is inside, and of those ends."""
    here, there = [], []
    for step, n in zip(reversed(offset), shape_ZYX, strict=True):
        here.append(slice(min(n, max(0, -step)), max(0, n - max(0, step))))
        there.append(slice(min(n, max(0, step)), max(0, n + min(0, step))))
    return (here[0], here[1], here[2]), (there[0], there[1], there[2])


def averaged(
    predict: Callable[[np.ndarray], np.ndarray],
    patches: np.ndarray,
    offsets: Sequence[Offset],
    views: Sequence[Symmetry],
) -> np.ndarray:
    """Test-time augmentation: mean logits over the views that saw an edge.

    Args:
        predict: float32 [n, c, z, y, x] -> float32 logits [n, c_out, z, y, x].
        patches: float32 [n, c, z, y, x]; sides alike on the axes that the views exchange.
        offsets: x, y, z, of the channels.
        views: symmetries to average over, the identity among them.

    Raises:
        ValueError: the identity is not among the views, or the network gives NaN.
    """
    if IDENTITY not in views:
        raise ValueError("test-time augmentation needs the identity among its views")
    total: np.ndarray = np.zeros((), np.float64)
    seen: np.ndarray = np.zeros((), np.int32)
    for view in views:  # always in this order: the sum of a voxel never depends on its company
        logits = predict(np.ascontiguousarray(turn(view, patches)))
        if np.isnan(logits).any():
            raise ValueError(f"the network's output of the view {view} holds NaN: its weights overflow on this image")
        back = affinities_back(view, logits, offsets)
        known = ~np.isnan(back)
        total = total + np.where(known, back, 0.0)
        seen = seen + known
    mean: np.ndarray = (total / seen).astype(np.float32)
    return mean


def averaged_images(
    predict: Callable[[np.ndarray], np.ndarray], patches: np.ndarray, views: Sequence[Symmetry]
) -> np.ndarray:
    """Test-time augmentation of a network whose output is an image: the mean over views, each turned back.

    Args:
        predict: float32 [n, 1, z, y, x] -> float32 of the same shape.
        patches: float32 [n, 1, z, y, x]; sides alike on the axes that the views exchange.
        views: symmetries to average over.
    """
    backs = [turn_back(view, predict(np.ascontiguousarray(turn(view, patches)))) for view in views]
    mean: np.ndarray = np.asarray(np.mean(np.stack(backs), axis=0, dtype=np.float64), np.float32)
    return mean


def section_views(square: bool) -> list[Symmetry]:
    """Turns and flips of sections: eight where x and y are alike, else four flips. z stays."""
    return [s for s in symmetries() if s.order[0] == 0 and not s.flips[0] and (square or s.order == (0, 1, 2))]


def _flipped(symmetry: Symmetry, array: np.ndarray) -> np.ndarray:
    z, y, x = (slice(None, None, -1 if flip else 1) for flip in symmetry.flips)
    out: np.ndarray = array[..., z, y, x]
    return out


def _offset_back(symmetry: Symmetry, offset: Offset) -> Offset:
    """An offset x, y, z of the turned array, in the given one."""
    back = [0, 0, 0]
    for axis, step in enumerate(reversed(offset)):
        back[symmetry.order[axis]] = -step if symmetry.flips[axis] else step
    return (back[2], back[1], back[0])


def _opposite(offset: Offset) -> Offset:
    return (-offset[0], -offset[1], -offset[2])
