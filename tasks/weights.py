"""Read affinities of any layer on upper voxels: as uint16 weights, or as 8-bit codes with a table of weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from emseg.tasks.arrays.coded import Affinities, affinities_of
from emseg.tasks.arrays.columns import U16
from emseg.tasks.arrays.weights import weights_from_codes, weights_from_probabilities
from emseg.tasks.context import Context
from emseg.tasks.volume.bbox import BBox, Vec, vec
from emseg.tasks.volume.errors import LayerError
from emseg.tasks.volume.layer import Layer

NEAREST_OFFSETS = ((-1, 0, 0), (0, -1, 0), (0, 0, -1))


@dataclass(frozen=True)
class AffinityForm:
    """How a layer holds its nearest affinities.

    Attributes:
        layer: its name in the plan.
        channels: channel of the x, the y and the z edge.
        side: 'upper' if the value at v joins v to v−1, 'lower' if it joins v to v+1.
    """

    layer: str
    channels: Vec = (0, 1, 2)
    side: Literal["upper", "lower"] = "upper"

    def read(self, context: Context, box: BBox) -> np.ndarray:
        """uint16 [3, z, y, x]: weights of the x, y and z edges whose upper voxel lies in the box.

        Raises:
            LayerError: NaN, a value outside [0, 1], or a layer that says it holds something else.
        """
        layer = context.layer(self.layer)
        self.require(layer)
        if self.side == "lower":
            return self._lower(layer, box)
        return weights_of(layer, layer.read(box, self.channels), self.channels, box.min)

    def read_coded(self, context: Context, box: BBox) -> Affinities:
        """As `read`, but 8-bit codes stay codes where their table allows it: half the bytes.

        Raises:
            LayerError: as `read`.
        """
        layer = context.layer(self.layer)
        if layer.dtype != np.uint8 or self.side == "lower":
            return self.read(context, box)
        self.require(layer)
        try:
            return affinities_of(layer.read(box, self.channels), _table(layer))
        except LayerError as error:
            raise LayerError(f"{layer.where}: {error}") from None

    def require(self, layer: Layer) -> None:
        """Refuse a layer that lacks a channel, or says that it holds something else.

        Raises:
            LayerError: so it is.
        """
        if max(self.channels) >= layer.channels:
            raise LayerError(f"{layer.where}: has {layer.channels} channels; x, y, z affinities are needed")
        offsets = layer.emseg.get("offsets")
        if offsets is None:
            return
        if len(offsets) != layer.channels:
            raise LayerError(f"{layer.where}: emseg.offsets has {len(offsets)} offsets for {layer.channels} channels")
        found = tuple(tuple(offsets[c]) for c in self.channels)
        if found != NEAREST_OFFSETS or self.side != "upper":
            raise LayerError(
                f"{layer.where}: says its channels {list(self.channels)} join along {found}, not {NEAREST_OFFSETS}; "
                "choose affinities.channels and affinities.side to fit"
            )

    def _lower(self, layer: Layer, box: BBox) -> np.ndarray:
        """Each channel one voxel below the box on its axis, read once; 0 where the layer ends."""
        union = box.padded(1, 0).clipped(layer.bounds)
        values_CZYX = layer.read(union, self.channels)
        out_CZYX = np.zeros((3, *box.shape_ZYX), np.uint16)
        for axis, channel in enumerate(self.channels):
            stored = box.shifted(vec([-(a == axis) for a in range(3)]))
            inside = stored.clipped(layer.bounds)
            if not inside.empty:
                part_CZYX = values_CZYX[axis : axis + 1, *inside.slices_ZYX(union.min)]
                weights_CZYX = weights_of(layer, part_CZYX, (channel,), inside.min)
                out_CZYX[axis, *inside.slices_ZYX(stored.min)] = weights_CZYX[0]
        return out_CZYX


def weights_of(
    layer: Layer, values_CZYX: np.ndarray, channels: Sequence[int] = (0, 1, 2), low: Vec = (0, 0, 0)
) -> np.ndarray:
    """uint16 weights of stored values, by the layer's dtype and table.

    Args:
        layer: where the values are from.
        values_CZYX: as stored, [c, z, y, x].
        channels, low: the stored channel of each c and the first voxel, x, y, z, for messages.
    """

    def said(place: tuple[int, ...]) -> str:
        c, z, y, x = place
        return f"channel {channels[c]}, voxel {low[0] + x},{low[1] + y},{low[2] + z}"

    try:
        if values_CZYX.dtype == np.float32:
            return weights_from_probabilities(values_CZYX, said)
        return weights_from_codes(values_CZYX, _table(layer))
    except LayerError as error:
        raise LayerError(f"{layer.where}: {error}") from None


def _table(layer: Layer) -> U16 | None:
    table = layer.emseg.get("table")
    return None if table is None else np.asarray(table, np.uint16)
