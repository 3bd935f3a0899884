"""Which layers a view shows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from emseg.pipeline.viewer_check import check_layers
from emseg.pipeline.viewer_layers import is_run, run_layers, view_layers
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import ConfigError, LayerError
from emseg.tasks.volume.info import LayerSpec
from emseg.tasks.volume.layer import Layer, create_layer

BOX = BBox((10, 20, 30), (42, 52, 62))


def made(path: Path, kind: str = "image", dtype: str = "uint8", channels: int = 1) -> Layer:
    """A new layer of one storage chunk, not yet written."""
    return create_layer(f"file://{path}", LayerSpec(kind, dtype, channels, BOX, (8, 8, 8), (32, 32, 32)))


def planned(run: Path, **urls: str) -> Path:
    """A run directory with a plan that lists layers."""
    run.mkdir(parents=True, exist_ok=True)
    layers = {name: {"url": url, "mip": 0, "missing": "refuse"} for name, url in urls.items()}
    (run / "plan.json").write_text(json.dumps({"version": 1, "layers": layers}))
    return run


@pytest.mark.parametrize(
    ("kind", "dtype", "channels", "shown_as"),
    [
        ("segmentation", "uint64", 1, "segmentation"),
        ("segmentation", "uint32", 1, "segmentation"),
        ("image", "uint8", 3, "affinity"),
        ("image", "float32", 6, "affinity"),
        ("image", "uint8", 1, "image"),
        ("image", "float32", 2, "image"),
    ],
)
def test_info_decides_how_a_layer_is_shown(tmp_path: Path, kind: str, dtype: str, channels: int, shown_as: str) -> None:
    """Type and number of channels in `info` tell segmentation, affinity and image apart."""
    made(tmp_path / "a", kind, dtype, channels)
    assert view_layers([("a", str(tmp_path / "a"))])[0].kind == shown_as


def test_a_missing_layer_is_named(tmp_path: Path) -> None:
    """A layer without `info` is refused with its place."""
    with pytest.raises(LayerError, match="nothing-here"):
        view_layers([("a", str(tmp_path / "nothing-here"))])


@pytest.mark.parametrize("info", ["not json", "[1, 2]", '{"scales": []}', '{"scales": [{"size": [1, 2]}]}'])
def test_an_info_that_is_no_volume_is_refused(tmp_path: Path, info: str) -> None:
    """What stands in `info` is checked before a page is opened."""
    (tmp_path / "info").write_text(info)
    with pytest.raises(LayerError):
        view_layers([("a", str(tmp_path))])


def test_names_must_differ_and_fit_a_link(tmp_path: Path) -> None:
    """Two layers of one name, or a name with a slash, are refused."""
    made(tmp_path / "a")
    with pytest.raises(ConfigError, match="once"):
        view_layers([("a", str(tmp_path / "a")), ("a", str(tmp_path / "a"))])
    with pytest.raises(ConfigError, match="a/b"):
        view_layers([("a/b", str(tmp_path / "a"))])


def test_a_run_shows_the_layers_that_exist_by_now(tmp_path: Path) -> None:
    """The source elsewhere comes first; layers not started, and the grid's provisional labels, are left out."""
    made(tmp_path / "source")
    made(tmp_path / "run/layers/affinities", channels=3)
    made(tmp_path / "run/layers/provisional", "segmentation", "uint32")
    planned(
        tmp_path / "run",
        affinities="./layers/affinities",
        provisional="./layers/provisional",
        segmentation="./layers/segmentation",
        source=f"file://{tmp_path}/source",
    )
    layers = run_layers(str(tmp_path / "run"))
    assert [(layer.name, layer.visible) for layer in layers] == [("source", True), ("affinities", True)]


def test_a_finished_run_starts_with_segments_over_the_image(tmp_path: Path) -> None:
    """Affinities, fragments and truth are there, one click away."""
    run = planned(tmp_path / "run", image="./layers/image", segmentation="./layers/segmentation")
    made(run / "layers/image")
    made(run / "layers/affinities", channels=3)
    for name in ("fragments", "segmentation", "truth"):
        made(run / "layers" / name, "segmentation", "uint64")
    shown = {layer.name: layer.visible for layer in run_layers(str(run))}
    assert list(shown) == ["image", "affinities", "fragments", "segmentation", "truth"]
    assert [name for name, visible in shown.items() if visible] == ["image", "segmentation"]


def test_a_folder_without_a_plan_is_no_run(tmp_path: Path) -> None:
    """`is_run` says so, and `run_layers` refuses it in one line."""
    assert not is_run(str(tmp_path))
    assert is_run(str(planned(tmp_path / "run")))
    with pytest.raises(ConfigError, match=r"plan\.json"):
        run_layers(str(tmp_path))


@pytest.mark.parametrize(
    "plan", ["{}", "no json", '{"layers": {"a": "b"}}', '{"layers": {"a": {"url": "./../../etc"}}}']
)
def test_a_plan_that_cannot_be_read_is_refused(tmp_path: Path, plan: str) -> None:
    """A broken plan, or one whose layer leaves the run, is a configuration error."""
    (tmp_path / "plan.json").write_text(plan)
    with pytest.raises(ConfigError):
        run_layers(str(tmp_path))


def test_check_tells_written_absent_and_torn_chunks_apart(tmp_path: Path) -> None:
    """A chunk not written yet is no fault; a torn one is."""
    layer = made(tmp_path / "a")
    shown = view_layers([("a", str(tmp_path / "a"))])
    assert [f.state for f in check_layers(shown)] == ["absent"]
    layer.write(BOX, np.ones((32, 32, 32), np.uint8))
    assert [f.state for f in check_layers(shown)] == ["good"]
    stored = tmp_path / "a" / (layer.object_key(BOX) + ".gz")
    stored.write_bytes(stored.read_bytes()[:-10])
    assert [f.state for f in check_layers(shown)] == ["bad"]


def test_check_finds_skeleton_attributes_that_stop_the_page(tmp_path: Path) -> None:
    """Neuroglancer draws no skeleton of a source with an attribute that is not float32."""
    made(tmp_path / "a")
    info = json.loads((tmp_path / "a/info").read_text()) | {"skeletons": "skeletons", "mesh": "mesh"}
    (tmp_path / "a/info").write_text(json.dumps(info))
    (tmp_path / "a/skeletons").mkdir()
    attribute = {"id": "vertex_types", "data_type": "uint8", "num_components": 1}
    (tmp_path / "a/skeletons/info").write_text(json.dumps({"vertex_attributes": [attribute]}))
    found = {f.what: f for f in check_layers(view_layers([("a", str(tmp_path / "a"))]))}
    assert "vertex_types" in found["skeletons"].detail
    assert (found["skeletons"].state, found["mesh"].state) == ("bad", "bad")
