"""The Neuroglancer state of a view: layers, shaders, position, scale, layout. Ids are strings, so uint64 is exact."""

from __future__ import annotations

from collections.abc import Sequence

import neuroglancer

from emseg.pipeline.viewer_layers import ViewLayer
from emseg.tasks.volume.errors import ConfigError

PANEL_PX = 420  # a panel's side in the window we fit to
PANELS = ("4panel", "4panel-alt", "xy", "xz", "yz", "xy-3d", "xz-3d", "yz-3d", "3d")
COMPARE = "compare"  # one xy panel a layer, side by side

IMAGE_SHADER = """#uicontrol invlerp normalized
void main() {
  emitGrayscale(normalized());
}
"""
AFFINITY_SHADER = """#uicontrol float gain slider(min=0, max=4, default=1)
#uicontrol bool invert checkbox(default=false)
void main() {
  vec3 joined;
  joined.r = toNormalized(getDataValue(0));
  joined.g = toNormalized(getDataValue(1));
  joined.b = toNormalized(getDataValue(2));
  joined = clamp(gain * joined, 0.0, 1.0);
  emitRGB(invert ? 1.0 - joined : joined);
}
"""


def viewer_state(
    layers: Sequence[ViewLayer],
    position: Sequence[float] | None = None,
    segments: Sequence[int] = (),
    layout: str = "4panel",
    prefix: str | None = None,
) -> neuroglancer.ViewerState:
    """State that shows layers.

    Args:
        layers: first to last, drawn in this order; the first one's mip 0 gives the voxel units of the view.
        position: x, y, z in voxels of the first layer; None for the centre of its bounds.
        segments: ids to select in the segmentation; none: all are drawn.
        layout: a Neuroglancer panel layout, or `compare`.
        prefix: base URL under which the layers are served by name; None to point at their own URLs.

    Raises:
        ConfigError: no layers, an unknown layout, or ids without a segmentation.
    """
    if not layers:
        raise ConfigError("a view needs a layer: name at least one")
    if layout not in (*PANELS, COMPARE):
        raise ConfigError(f"layout {layout!r}: use one of {', '.join((*PANELS, COMPARE))}")
    first = layers[0]
    if first.kind == "annotation":
        raise ConfigError(f"layer {first.name} holds annotations: name a volume first, which gives units and bounds")
    state = neuroglancer.ViewerState()
    state.dimensions = neuroglancer.CoordinateSpace(names=["x", "y", "z"], units="nm", scales=list(first.voxel_nm))
    state.position = list(position) if position is not None else _centre(first)
    state.cross_section_scale, state.projection_scale = _scales(first)
    for layer in layers:
        state.layers.append(
            name=layer.name, layer=drawn(layer, source_url(layer, prefix)), visible=layer.visible or layout == COMPARE
        )
    _select(state, layers, segments)
    state.layout = _compared(layers) if layout == COMPARE else layout
    state.show_slices = True
    return state


def source_url(layer: ViewLayer, prefix: str | None) -> str:
    """Neuroglancer's name of a layer's data."""
    return f"precomputed://{layer.url if prefix is None else f'{prefix}/{layer.name}'}"


def drawn(layer: ViewLayer, source: str) -> neuroglancer.Layer:
    """How a layer is drawn: annotations as points, segments in colours, affinities as RGB, all else in grey."""
    if layer.kind == "annotation":
        return neuroglancer.AnnotationLayer(source=source, annotation_color="#ff4040")
    if layer.kind == "segmentation":
        return neuroglancer.SegmentationLayer(source=source, selected_alpha=0.35, not_selected_alpha=0.1)
    if layer.kind == "affinity":
        return neuroglancer.ImageLayer(source=source, shader=AFFINITY_SHADER, opacity=0.6)
    return neuroglancer.ImageLayer(source=source, shader=IMAGE_SHADER, opacity=1.0)


def _centre(layer: ViewLayer) -> list[float]:
    return [(a + b) // 2 + 0.5 for a, b in zip(layer.bounds.min, layer.bounds.max, strict=True)]


def _scales(layer: ViewLayer) -> tuple[float, float]:
    """Voxels a pixel in cross-sections, voxels a view in 3-D, so that the bounds fill a panel; of the finest axis."""
    extents = [n * s / min(layer.voxel_nm) for n, s in zip(layer.voxel_nm, layer.bounds.size, strict=True)]
    return max(extents[:2]) / PANEL_PX, 1.8 * max(extents)


def _select(state: neuroglancer.ViewerState, layers: Sequence[ViewLayer], segments: Sequence[int]) -> None:
    if not segments:
        return
    names = [layer.name for layer in layers if layer.kind == "segmentation"]
    if not names:
        raise ConfigError("segments are selected in a segmentation; none of the layers is one")
    chosen = "segmentation" if "segmentation" in names else names[0]
    state.layers[chosen].layer.segments = [int(s) for s in segments]


def _compared(layers: Sequence[ViewLayer]) -> neuroglancer.StackLayout:
    """One xy panel for each layer, in two rows from four on; segmentations lie over the first image."""
    ground = next((layer.name for layer in layers if layer.kind == "image"), None)
    panels = [
        neuroglancer.LayerGroupViewer(
            layers=[ground, layer.name] if ground is not None and layer.kind == "segmentation" else [layer.name],
            layout="xy",
        )
        for layer in layers
    ]
    if len(panels) < 4:
        return neuroglancer.row_layout(panels)
    half = (len(panels) + 1) // 2
    return neuroglancer.column_layout([neuroglancer.row_layout(row) for row in (panels[:half], panels[half:])])
