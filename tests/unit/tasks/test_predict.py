"""The predict task: what it refuses, what it stores for excluded voxels, and which figures it keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import BOX, tiny_image, tiny_model

from emseg.models.checkpoint import read_spec
from emseg.models.coding import code_table
from emseg.tasks.base import canonical_json
from emseg.tasks.context import Context, LayerRef
from emseg.tasks.exclusion import Exclusion
from emseg.tasks.predict import Predict, levels_key
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import ConfigError, CorruptChunkError
from emseg.tasks.volume.info import LayerSpec
from emseg.tasks.volume.layer import create_layer
from emseg.tasks.volume.objects import Objects, sha256
from emseg.tasks.windows import model_key

CORE = BBox.sized((2, 14, 8), (16, 16, 16))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with image, affinity layer and a run that keeps the model; the model's sha256."""
    folder = tmp_path_factory.mktemp("predict")
    tiny_image(str(folder / "image"))
    content = Path(tiny_model(folder)).read_bytes()
    spec = read_spec(folder / "tiny.safetensors")
    emseg = {"offsets": [list(o) for o in spec.offsets], "table": code_table(spec).tolist()}
    create_layer(str(folder / "out"), LayerSpec("image", "uint8", 4, CORE, (10, 10, 10), (16, 16, 16), emseg=emseg))
    Objects(str(folder / "run")).put(model_key(sha256(content)), content)
    return folder, sha256(content)


def executed(place: tuple[Path, str], worker: str = "cpu", **fields: Any) -> tuple[np.ndarray, Context]:
    """Codes [c, z, y, x] of one task, and its context."""
    folder, model = place
    refs = {name: LayerRef(str(folder / name)) for name in ("image", "out")}
    context = Context(refs, Objects(str(folder / "run")), worker)
    Predict("predict/0_0_0", CORE, "image", "out", model, **fields).execute(context)
    return context.layer("out").read(CORE), context


def stored_levels(place: tuple[Path, str], kind: str, low: int, high: int) -> str:
    """Digest of grey levels that the run keeps."""
    sections = {str(z): [low, high, 0, 1] for z in range(BOX.min[2], BOX.max[2])}
    content = canonical_json({"kind": kind, "levels": {"low": low, "high": high, "sections": sections}})
    Objects(str(place[0] / "run")).put(levels_key(sha256(content)), content)
    return sha256(content)


def test_another_device_than_planned_is_refused(place: tuple[Path, str]) -> None:
    """A task planned for the GPU does not run on a CPU, whose last bits differ; a device's number does not matter."""
    with pytest.raises(ConfigError, match=r"predict/0_0_0 is planned for cuda but this worker has cpu:0"):
        executed(place, "cpu:0", device="cuda")


def test_excluded_voxels_are_zero_and_others_as_ever(place: tuple[Path, str]) -> None:
    """An excluded section is stored as 0 in every channel; the rest has seen the raw image."""
    whole, _ = executed(place)
    out, context = executed(place, exclusion=Exclusion(sections=(9, 10)))
    assert not out[:, 1:3].any()
    assert np.array_equal(np.delete(out, [1, 2], 1), np.delete(whole, [1, 2], 1))
    assert whole[:, 1:3].any()
    kept = np.delete(whole[:3], [1, 2], 1)
    assert context.record.figures["nearest_top_code_share"] == (kept == 255).mean()


def test_the_share_at_the_top_is_of_what_is_kept(place: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every code is the top one the share is 1, however much is excluded."""
    top = np.full((4, *CORE.shape_ZYX), 255, np.uint8)
    monkeypatch.setattr(Predict, "_codes", lambda self, context: top.copy())
    for sections in ((), (9,), tuple(range(9, 24))):
        _, context = executed(place, exclusion=Exclusion(sections=sections))
        assert context.record.figures["nearest_top_code_share"] == 1


def test_a_wholly_excluded_core_reads_nothing(place: tuple[Path, str]) -> None:
    """Zeros are written, no model is loaded, no voxel read."""
    out, context = executed(place, exclusion=Exclusion(sections=tuple(range(8, 24))))
    assert not out.any()
    assert not [name for name in context.record.inputs if not name.startswith("layers/out")]


def test_grey_levels_that_were_altered_are_refused(place: tuple[Path, str]) -> None:
    """The run's copy of the grey levels must be what the plan pinned."""
    digest = stored_levels(place, "global", 20, 200)
    executed(place, levels=digest)
    Objects(str(place[0] / "run")).put(levels_key(digest), canonical_json({"kind": "global", "levels": {}}))
    with pytest.raises(CorruptChunkError, match=f"levels/{digest}.json was altered; plan again"):
        executed(place, levels=digest)


def test_a_section_without_levels_is_named(place: tuple[Path, str]) -> None:
    """Levels that were not measured over the whole source are refused with the section."""
    content = canonical_json({"kind": "per_section", "levels": {"sections": {"8": [1, 2, 3, 4]}}})
    Objects(str(place[0] / "run")).put(levels_key(sha256(content)), content)
    with pytest.raises(ConfigError, match="the levels lack section z = '"):
        executed(place, levels=sha256(content))


def test_levels_of_all_and_of_each_section_agree_when_alike(place: tuple[Path, str]) -> None:
    """The same levels, said once or for each section, give the same codes; others give other codes."""
    first, _ = executed(place, levels=stored_levels(place, "global", 40, 190))
    each, _ = executed(place, levels=stored_levels(place, "per_section", 40, 190))
    other, _ = executed(place, levels=stored_levels(place, "global", 0, 120))
    assert np.array_equal(first, each)
    assert not np.array_equal(first, other)
