"""The law on stored layers: runs over different chunks write the same objects, from images and from affinities."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cloudvolume import CloudVolume
from oracles.stitching import single_pass
from tiny import tiny_image, tiny_model

from emseg.pipeline.config import RunConfig
from emseg.pipeline.execute import execute
from emseg.pipeline.planner import plan_run, rules_of
from emseg.pipeline.receipts import Ledger
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.info import LayerSpec
from emseg.tasks.volume.layer import create_layer, open_layer
from emseg.tasks.volume.objects import Objects

INNER = ((-2, 12, 5), (33, 45, 43))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A phantom's image with a mip for masks."""
    return tiny_image(str(tmp_path_factory.mktemp("source") / "image"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small network with random weights and overlapping windows."""
    return tiny_model(tmp_path_factory.mktemp("model"))


def finished(folder: Path, **values: Any) -> Objects:
    """The run directory of a config, every task executed here, in an order that ignores the stages' own."""
    config = RunConfig.model_validate({"run": str(folder), "layers": {"chunk_vx": (16, 16, 16)}, **values})
    planned = plan_run(config)
    run, _ = planned.stored(config.run)
    ledger = Ledger(run)
    waiting = list(planned.plan.keys())[::-1]
    while waiting:
        ready = [key for key in waiting if planned.plan.ready(key, ledger.exists)]
        for key in ready:
            ledger.finish(key, execute(planned.plan, run, planned.plan.task(key)))
        waiting = [key for key in waiting if key not in ready]
    return run


def digests(run: Objects, layer: str) -> dict[str, str]:
    """sha256 of every stored object of a layer, `info` included."""
    root = Path(run.url.removeprefix("file://")) / "layers" / layer
    return {
        str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in root.rglob("*") if p.is_file()
    }


def stages(predict: Any, fragment: Any, relabel: Any, model: str = "") -> dict[str, Any]:
    """Stages with these chunks."""
    first = {"predict": {"chunk_vx": predict, "model": model}} if model else {}
    rest = {"merge": {"min_size_vx": 30, "threshold": "0.45"}, "downsample": {"mips": 2}}
    return {**first, "fragment": {"chunk_vx": fragment}, "relabel": {"chunk_vx": relabel, "dust_vx": 20}, **rest}


CHUNKS = [
    ((64, 64, 64), (64, 64, 64), (64, 64, 64)),
    ((16, 32, 16), (17, 11, 38), (32, 16, 16)),
    ((32, 16, 48), (34, 32, 9), (16, 48, 32)),
]


def test_three_grids_write_the_same_objects(tmp_path: Path, image: str, model: str) -> None:
    """From an image with mask, blanks and a bad section: affinities, fragments, segmentation and mips are equal."""
    runs = [
        finished(
            tmp_path / str(n),
            source={"layer": image},
            bbox=INNER,
            mask={"layer": image, "mip": 1},
            skip_blank={"mip": 1},
            bad_sections=[20],
            stages=stages(*chunks, model),
        )
        for n, chunks in enumerate(CHUNKS)
    ]
    for layer in ("affinities", "fragments", "segmentation"):
        first, *others = (digests(run, layer) for run in runs)
        assert len(first) > 9
        assert all(other == first for other in others)
    box = BBox.of(*INNER)
    segments = open_layer(runs[0].url + "/layers/segmentation").read_ZYX(box)
    assert len(np.unique(segments)) > 3
    assert not segments[20 - box.min[2]].any()


def test_every_layer_opens_with_unmodified_cloudvolume(tmp_path: Path, image: str, model: str) -> None:
    """CloudVolume reads each layer and mip of a run as emseg does."""
    run = finished(tmp_path, source={"layer": image}, bbox=INNER, stages=stages(*CHUNKS[1], model))
    for name in ("affinities", "provisional", "fragments", "segmentation"):
        ours = open_layer(f"{run.url}/layers/{name}")
        for mip in range(len(ours.info["scales"])):
            theirs = CloudVolume(f"{run.url}/layers/{name}", mip=mip, progress=False)
            at = ours.at(mip)
            assert np.array_equal(np.asarray(theirs[:]).T, at.read(at.bounds))


def test_augmented_affinities_do_not_see_the_grid(tmp_path: Path, image: str, model: str) -> None:
    """With test-time augmentation too: equal over two grids, and other codes than without it."""
    box = ((-2, 12, 5), (26, 34, 25))
    found = []
    for n, (chunk, tta) in enumerate([((32, 32, 32), "flips"), ((16, 32, 16), "flips"), ((32, 32, 32), "none")]):
        predict = {"chunk_vx": chunk, "model": model, "tta": tta}
        values: dict[str, Any] = {"source": {"layer": image}, "bbox": box, "stages": {"predict": predict}}
        found.append(digests(finished(tmp_path / str(n), **values), "affinities"))
    assert found[0] == found[1]
    assert found[0].keys() == found[2].keys()
    assert sum(found[0][key] != found[2][key] for key in found[0]) > 3


@pytest.mark.parametrize("kind", ["global", "per_section"])
def test_normalised_affinities_do_not_see_the_grid(tmp_path: Path, image: str, model: str, kind: str) -> None:
    """With grey levels from a file too: equal over two grids, and other codes than without them."""
    levels = tmp_path / "levels.json"
    sections = {str(z): [20 + z, 150 + 2 * z, 0, 1] for z in range(60)}
    levels.write_text(json.dumps({"low": 40, "high": 190, "sections": sections}))
    box = ((-2, 12, 5), (26, 34, 25))
    found = []
    for n, (chunk, normalise) in enumerate(
        [((32, 32, 32), kind), ((16, 32, 16), kind), ((32, 32, 32), "none")],
    ):
        values: dict[str, Any] = {
            "source": {"layer": image},
            "bbox": box,
            "stages": {"predict": {"chunk_vx": chunk, "model": model}},
            "normalise": {"kind": "none"} if normalise == "none" else {"kind": kind, "levels": str(levels)},
        }
        found.append(digests(finished(tmp_path / str(n), **values), "affinities"))
    assert found[0] == found[1]
    assert found[0].keys() == found[2].keys()
    assert sum(found[0][key] != found[2][key] for key in found[0]) > 3


def test_a_wholly_excluded_chunk_reads_nothing_and_writes_zeros(tmp_path: Path, image: str, model: str) -> None:
    """A chunk of bad sections alone has an empty list of inputs beside the cells, and its affinities are 0."""
    run = finished(
        tmp_path, source={"layer": image}, bbox=INNER, bad_sections=range(5, 21), stages=stages(*CHUNKS[1], model)
    )
    receipt = Ledger(run).receipt("predict/0_0_0") or {}
    assert receipt["inputs"] == {}
    core = BBox.of(INNER[0], (14, 44, 21))
    assert not open_layer(run.url + "/layers/affinities").read(core).any()


@pytest.mark.parametrize("channels", ["xyz", "zyx"])
@pytest.mark.parametrize("side", ["upper", "lower"])
def test_imported_affinities_give_what_the_oracle_says(tmp_path: Path, channels: str, side: str) -> None:
    """float32 affinities, in either channel order and edge side, are read in place and segment as plain Python says."""
    box = BBox.sized((-3, 4, 9), (9, 8, 10))
    upper = (np.random.default_rng(5).integers(0, 9, (3, *box.shape_ZYX)) / 8).astype(np.float32)
    stored = upper.copy()
    if side == "lower":
        for c in range(3):
            stored[c] = np.roll(upper[c], -1, axis=2 - c)  # the last plane holds an edge out of the volume: ignored
    if channels == "zyx":
        stored = stored[::-1]
    url = str(tmp_path / "affinities")
    layer = create_layer(url, LayerSpec("image", "float32", 3, box, (8, 8, 8), (16, 16, 16)))
    layer.write(box, np.ascontiguousarray(stored))
    values: dict[str, Any] = {
        "affinities": {"layer": url, "channels": channels, "side": side},
        "stages": stages(None, (5, 4, 3), (16, 16, 16)),
    }
    run = finished(tmp_path / "run", **values)
    rules = rules_of(RunConfig.model_validate({"run": "x", **values}))
    weights = np.floor(65535 * upper.astype(np.float64) + 0.5).astype(np.uint16)
    expected = single_pass(weights, box, rules)
    for name, wanted in zip(("fragments", "segmentation"), expected, strict=True):
        assert np.array_equal(open_layer(f"{run.url}/layers/{name}").read_ZYX(box), wanted)


@pytest.mark.parametrize("linkage", ["quantile50", "quantile85"])
def test_quantiles_do_not_see_the_grid(tmp_path: Path, linkage: str) -> None:
    """Three grids of a run by a quantile store the same objects, and what plain Python says."""
    box = BBox.sized((-3, 4, 9), (10, 9, 8))
    codes = np.random.default_rng(6).integers(0, 256, (3, *box.shape_ZYX)).astype(np.uint8)
    url = str(tmp_path / "affinities")
    create_layer(url, LayerSpec("image", "uint8", 3, box, (8, 8, 8), (16, 16, 16))).write(box, codes)
    merge = {"min_size_vx": 3, "threshold": "0.45", "linkage": linkage}
    shared = {"merge": merge, "relabel": {"chunk_vx": (16, 16, 16)}}
    grids = [{**shared, "fragment": {"chunk_vx": chunk}} for chunk in ((64, 64, 64), (5, 4, 3), (3, 9, 5))]
    where = {"affinities": {"layer": url}}
    runs = [finished(tmp_path / str(n), **where, stages=grid) for n, grid in enumerate(grids)]
    for layer in ("fragments", "segmentation"):
        first, *others = (digests(run, layer) for run in runs)
        assert all(other == first for other in others)
    rules = rules_of(RunConfig.model_validate({"run": "x", **where, "stages": grids[0]}))
    segments = single_pass(codes.astype(np.uint16) * np.uint16(257), box, rules)[1]
    assert rules.linkage == linkage
    assert 1 < len(np.unique(segments)) < len(np.unique(open_layer(f"{runs[0].url}/layers/fragments").read_ZYX(box)))
    assert np.array_equal(open_layer(f"{runs[0].url}/layers/segmentation").read_ZYX(box), segments)


def test_affinities_that_are_none_are_refused_with_their_place(tmp_path: Path) -> None:
    """NaN in an imported layer stops its leaf, and the message says where."""
    box = BBox.sized((0, 0, 0), (8, 8, 8))
    values = np.full((3, 8, 8, 8), 0.5, np.float32)
    values[1, 2, 3, 4] = np.nan
    url = str(tmp_path / "affinities")
    create_layer(url, LayerSpec("image", "float32", 3, box, (8, 8, 8), (8, 8, 8))).write(box, values)
    with pytest.raises(OSError, match=r"channel 1, voxel 4,3,2 is nan: .*must lie in \[0, 1\]"):
        finished(tmp_path / "run", affinities={"layer": url})


def given_volume(folder: Path) -> tuple[str, str, BBox]:
    """Layers of random affinities and of labels that stand for fragments made elsewhere; the labels' box is smaller."""
    box = BBox.sized((-3, 4, 9), (38, 33, 30))
    rng = np.random.default_rng(8)
    affinities = rng.integers(0, 9, (3, *box.shape_ZYX)).astype(np.uint8) * np.uint8(31)
    inner = BBox.of((-1, 4, 10), box.max)
    blocks = rng.integers(0, 400, [-(-n // 4) for n in inner.shape_ZYX]).astype(np.uint32)
    z, y, x = (slice(n) for n in inner.shape_ZYX)
    labels = blocks.repeat(4, 0).repeat(4, 1).repeat(4, 2)[z, y, x]
    urls = str(folder / "affinities"), str(folder / "labels")
    create_layer(urls[0], LayerSpec("image", "uint8", 3, box, (8, 8, 8), (16, 16, 16))).write(box, affinities)
    spec = LayerSpec("segmentation", "uint32", 1, inner, (8, 8, 8), (16, 16, 16))
    create_layer(urls[1], spec).write(inner, np.ascontiguousarray(labels))
    return *urls, inner


def test_given_fragments_do_not_see_the_grid(tmp_path: Path) -> None:
    """Fragments made elsewhere with affinities: five grids store the same objects as one chunk over all."""
    affinities, labels, inner = given_volume(tmp_path)
    runs = []
    for n, chunk in enumerate([(64, 64, 64), (17, 11, 29), (34, 32, 9), (16, 16, 16), (36, 32, 28), (5, 33, 30)]):
        values = stages(None, chunk, (16, 32, 16))
        values["merge"]["threshold"] = "0.5"
        where = {"affinities": {"layer": affinities}, "fragments": {"layer": labels}}
        runs.append(finished(tmp_path / str(n), mask={"layer": labels}, **where, stages=values))
    for layer in ("fragments", "segmentation"):
        first, *others = (digests(run, layer) for run in runs)
        assert len(first) > 9
        assert all(other == first for other in others)
    found, segments = (open_layer(f"{runs[0].url}/layers/{n}").read_ZYX(inner) for n in ("fragments", "segmentation"))
    given = open_layer(labels).read_ZYX(inner)
    assert np.array_equal(found > 0, given > 0)
    pairs = np.unique(np.stack([given[given > 0].astype(np.uint64), found[given > 0]]), axis=1)
    assert len(pairs[0]) == len(np.unique(found[found > 0])) > len(np.unique(given)) / 2
    assert 1 < len(np.unique(segments)) < len(np.unique(found))
