"""The state that a page is opened with, compared as JSON."""

from __future__ import annotations

from typing import Any

import neuroglancer
import pytest

from emseg.pipeline.view import hosted_link
from emseg.pipeline.viewer_layers import ViewLayer
from emseg.pipeline.viewer_state import viewer_state
from emseg.tasks.volume.errors import ConfigError

GREAT_ID = (1 << 63) + 1


def layer(name: str, kind: str = "image", channels: int = 1, visible: bool = True, root: str = "s3://b") -> ViewLayer:
    """A layer of 40 x 60 x 20 voxels of 8 x 8 x 20 nm at 100, 200, 300."""
    scale = {
        "key": "k",
        "size": [40, 60, 20],
        "voxel_offset": [100, 200, 300],
        "chunk_sizes": [[64, 64, 64]],
        "resolution": [8, 8, 20],
        "encoding": "raw",
    }
    info = {"type": kind, "data_type": "uint64", "num_channels": channels, "scales": [scale]}
    return ViewLayer(name, f"{root}/{name}", info, visible)


FOUR = [
    layer("image"),
    layer("affinities", channels=3, visible=False),
    layer("fragments", "segmentation", visible=False),
    layer("segmentation", "segmentation"),
]


def plain(state: neuroglancer.ViewerState) -> dict[str, Any]:
    """State as JSON."""
    found: dict[str, Any] = state.to_json()
    return found


def test_the_view_starts_in_the_middle_at_the_resolution_of_mip_0() -> None:
    """Position is the centre of the first layer's bounds, units are its voxels."""
    state = plain(viewer_state(FOUR))
    assert state["position"] == [120.5, 230.5, 310.5]
    assert state["dimensions"] == {"x": [8e-9, "m"], "y": [8e-9, "m"], "z": [2e-8, "m"]}
    assert state["layout"] == "4panel"


def test_each_kind_of_layer_is_drawn_in_its_way() -> None:
    """Segmentations are segments, three channels are RGB, one is grey; hidden layers are there but not drawn."""
    layers = {entry["name"]: entry for entry in plain(viewer_state(FOUR))["layers"]}
    assert [entry["type"] for entry in layers.values()] == ["image", "image", "segmentation", "segmentation"]
    assert "getDataValue(2)" in layers["affinities"]["shader"]
    assert "emitGrayscale" in layers["image"]["shader"]
    assert [name for name, entry in layers.items() if entry.get("visible", True)] == ["image", "segmentation"]


def test_ids_stay_exact() -> None:
    """A uint64 id above 2^63 stands in the state as a string with all its digits, in the segmentation only."""
    layers = {entry["name"]: entry for entry in plain(viewer_state(FOUR, segments=[GREAT_ID]))["layers"]}
    assert layers["segmentation"]["segments"] == [str(GREAT_ID)]
    assert "segments" not in layers["fragments"]


def test_a_position_is_kept() -> None:
    """A given position is used as it is."""
    assert plain(viewer_state(FOUR, position=[1, 2, 3]))["position"] == [1, 2, 3]


def test_sources_are_served_by_name_or_read_where_they_are() -> None:
    """With a prefix the layers come from that server, without one from their own URLs."""
    served = plain(viewer_state(FOUR, prefix="http://127.0.0.1:9/data/t"))["layers"][0]["source"]
    assert served == [{"url": "precomputed://http://127.0.0.1:9/data/t/image"}]
    assert plain(viewer_state(FOUR))["layers"][0]["source"] == [{"url": "precomputed://s3://b/image"}]


def test_compare_gives_each_layer_a_panel_over_the_image() -> None:
    """Four layers are four xy panels in two rows, all of them visible."""
    state = plain(viewer_state(FOUR, layout="compare"))
    panels = [panel["layers"] for row in state["layout"]["children"] for panel in row["children"]]
    assert panels == [["image"], ["affinities"], ["image", "fragments"], ["image", "segmentation"]]
    assert all(entry.get("visible", True) for entry in state["layers"])


def test_bad_views_are_refused() -> None:
    """No layers, an unknown layout, and ids without a segmentation are configuration errors."""
    with pytest.raises(ConfigError, match="at least one"):
        viewer_state([])
    with pytest.raises(ConfigError, match="5panel"):
        viewer_state(FOUR, layout="5panel")
    with pytest.raises(ConfigError, match="segmentation"):
        viewer_state(FOUR[:2], segments=[1])


def test_a_hosted_link_holds_the_whole_state() -> None:
    """The link of buckets parses back to the same state, ids included."""
    link = hosted_link(FOUR, host="https://ng.example", segments=[GREAT_ID])
    assert link.startswith("https://ng.example#!")
    assert plain(neuroglancer.parse_url(link)) == plain(viewer_state(FOUR, segments=[GREAT_ID]))


def test_a_hosted_page_cannot_read_this_disk() -> None:
    """A link to a hosted page is refused for a layer on a local disk."""
    with pytest.raises(ConfigError, match="image"):
        hosted_link([layer("image", root="file:///data")])
