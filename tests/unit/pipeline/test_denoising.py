"""The denoise stage of a plan: its layer, what predict reads, and what is refused or warned about."""

from dataclasses import replace

import numpy as np
import pytest
from denoisers import denoise_spec, saved_denoiser
from tiny import tiny_model

from emseg.pipeline.config import RunConfig
from emseg.pipeline.costs import price_of
from emseg.pipeline.denoising import covered
from emseg.pipeline.planner import plan_run
from emseg.pipeline.whiteness import noise_of, whiteness_of
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import ConfigError
from emseg.tasks.volume.info import LayerSpec
from emseg.tasks.volume.layer import create_layer
from emseg.tasks.windows import lattice_of

BOX = BBox.sized((-5, 8, 3), (60, 56, 44))


@pytest.fixture
def models(tmp_path):
    """A denoiser and an affinity network."""
    return saved_denoiser(tmp_path, denoise_spec(3, 1, (16, 16, 16))), tiny_model(tmp_path)


def image(folder, dtype="uint8", voxel_nm=(10, 10, 10), encoding="raw", level=120):
    """An image layer."""
    layer = create_layer(str(folder / "image"), LayerSpec("image", dtype, 1, BOX, voxel_nm, (32, 32, 32), encoding))
    layer.write(BOX, np.random.default_rng(0).normal(level, 45, BOX.shape_ZYX).clip(0, 255).astype(dtype))
    return layer.url


def config(folder, url, models, bbox=None, **denoise):
    """A run that denoises first."""
    stages = {
        "denoise": {"model": models[0], "chunk_vx": (32, 32, 32), **denoise},
        "predict": {"model": models[1], "chunk_vx": (32, 32, 32)},
        "fragment": {"chunk_vx": (20, 20, 20)},
        "relabel": {"chunk_vx": (32, 32, 32)},
    }
    values = {"run": str(folder / "run"), "source": {"layer": url}, "layers": {"chunk_vx": (16, 16, 16)}}
    return RunConfig.model_validate({**values, "stages": stages, "bbox": bbox})


def test_predict_reads_the_denoised_layer_and_waits_for_what_it_reads(tmp_path, models):
    """Each predict task needs exactly the denoise tasks whose cores its windows meet, and no more."""
    planned = plan_run(config(tmp_path, image(tmp_path), models))
    plan = planned.plan
    assert plan.tier["predict"].fields["source"] == "denoised"
    lattice = lattice_of(planned.model)
    for key in plan.tier["predict"].keys():
        core = plan.task(key).core
        needed = {
            k
            for k in plan.tier["denoise"].keys()
            for patch in lattice.patches(core)
            if patch.clipped(BOX).meets(plan.task(k).core)
        }
        assert needed <= set(plan.producers(key))
    assert plan.pins["denoiser"] != plan.pins["model"]
    price = price_of(plan, planned.specs, planned.model, denoiser=planned.denoiser)
    assert price.halo_overhead["denoise"] > 1


def test_without_the_stage_nothing_changes(tmp_path, models):
    """Off by default: no tier, no layer."""
    given = config(tmp_path, image(tmp_path), models)
    stages = given.stages.model_copy(update={"denoise": None})
    planned = plan_run(given.model_copy(update={"stages": stages}))
    assert "denoise" not in planned.plan.tier
    assert "denoised" not in planned.specs
    assert planned.plan.tier["predict"].fields["source"] == "source"


def test_the_layer_covers_all_that_prediction_sees(tmp_path, models):
    """Of a box inside the source: its windows' reach, cut by the source, whatever the chunks."""
    bbox = ((10, 20, 12), (30, 40, 30))
    planned = plan_run(config(tmp_path, image(tmp_path), models, bbox))
    box = planned.specs["denoised"].bbox
    lattice = lattice_of(planned.model)
    for patch in lattice.patches(BBox.of(*bbox)):
        assert box.holds(patch.clipped(BOX))
    assert box == covered(planned.model, BBox.of(*bbox), BOX)
    assert BOX.holds(box)
    assert box != BOX


def test_type_and_clipping_are_those_of_the_source_or_of_the_config(tmp_path, models):
    """By default the source's dtype and its whole range."""
    url = image(tmp_path)
    planned = plan_run(config(tmp_path, url, models))
    assert planned.specs["denoised"].dtype == "uint8"
    assert (planned.plan.tier["denoise"].fields["low"], planned.plan.tier["denoise"].fields["high"]) == (0, 255)
    planned = plan_run(config(tmp_path, url, models, clip=(10, 240)))
    assert planned.plan.tier["denoise"].fields["high"] == 240


def test_the_own_share_is_the_models_unless_the_config_says_another(tmp_path, models):
    """None by default; a model's own; the stage's wins."""
    url, share = image(tmp_path), replace(denoise_spec(3, 1, (16, 16, 16)), own_share=0.1)
    (tmp_path / "own").mkdir()
    own = (saved_denoiser(tmp_path / "own", share), models[1])

    def planned(given, **stage):
        return plan_run(config(tmp_path, url, given, **stage)).plan.tier["denoise"].fields["own_share"]

    assert (planned(models), planned(own), planned(own, own_share=0), planned(models, own_share=0.2)) == (
        0,
        0.1,
        0,
        0.2,
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"clip": (0, 300)}, "holds 0 to 255"),
        ({"chunk_vx": (24, 32, 32)}, "stages.denoise.chunk_vx"),
        ({"model": "no-such"}, "there is no model"),
        ({"model": "fib25-nano"}, "family affinity"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, models, changes, words):
    """Before anything is written."""
    with pytest.raises(ConfigError, match=words):
        plan_run(config(tmp_path, image(tmp_path), models, **changes))


def test_a_denoiser_is_no_affinity_network(tmp_path, models):
    """Named for the wrong stage it is refused."""
    with pytest.raises(ConfigError, match="family denoise"):
        plan_run(config(tmp_path, image(tmp_path), (models[0], models[0])))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"voxel_nm": (4, 4, 40)}, "was trained on voxels"),
        ({"encoding": "jpeg"}, "JPEG"),
        ({"level": 220}, "was trained on other images"),
    ],
)
def test_sources_unlike_the_training_set_are_warned_about(tmp_path, models, changes, words):
    """The run is planned all the same; a source that is alike gives no warning."""
    assert any(words in w for w in plan_run(config(tmp_path, image(tmp_path, **changes), models)).warnings)
    assert not plan_run(config(tmp_path / "b", image(tmp_path / "b"), models)).warnings


def test_noise_and_whiteness_are_reported_of_files(tmp_path):
    """White noise is called independent; its residual is white; tissue in the residual is found."""
    rng = np.random.default_rng(0)
    x = np.arange(64) / 9
    clean = np.broadcast_to(120 + 40 * np.sin(x)[None, :, None] * np.cos(x)[None, None, :], (16, 64, 64))
    noisy = clean + rng.normal(0, 20, clean.shape)
    for name, array in (("clean", clean), ("noisy", noisy), ("weak", 0.5 * clean)):
        np.save(tmp_path / f"{name}.npy", array.astype(np.float32))
    found = noise_of(str(tmp_path / "noisy.npy"), 3)
    assert "independent" in found["advice"]
    assert found["sigma"] == pytest.approx(20, rel=0.1)
    assert "looks like noise" in whiteness_of(str(tmp_path / "noisy.npy"), str(tmp_path / "clean.npy"))["verdict"]
    assert "tissue was taken" in whiteness_of(str(tmp_path / "noisy.npy"), str(tmp_path / "weak.npy"))["verdict"]


def test_only_one_image_before_and_after_is_compared(tmp_path):
    """Two boxes are named and refused unless --bbox, inside both, says where; what is equal is not called white."""
    noisy = np.random.default_rng(0).normal(120, 20, (8, 40, 40)).astype(np.float32)
    for name, array in (("noisy", noisy), ("part", noisy[:6, :30] * 0 + 120), ("shifted", noisy + 0)):
        np.save(tmp_path / f"{name}.npy", array)
    before, part, same = (str(tmp_path / f"{name}.npy") for name in ("noisy", "part", "shifted"))
    with pytest.raises(ConfigError, match=r"noisy.npy holds 0,0,0:40,40,8, .*part.npy 0,0,0:40,30,6: give one image"):
        whiteness_of(before, part)
    with pytest.raises(ConfigError, match=r"--bbox 0,0,0:40,40,8 must hold a voxel and lie inside both"):
        whiteness_of(before, part, bbox=BBox.of((0, 0, 0), (40, 40, 8)))
    assert whiteness_of(before, part, bbox=BBox.of((0, 0, 0), (40, 30, 6)))["bbox"] == "0,0,0:40,30,6"
    assert whiteness_of(before, same)["verdict"].startswith("nothing was taken away")


@pytest.mark.parametrize("dtype", ["uint64", "uint32", "int16", "bool"])
def test_only_grey_levels_have_noise(tmp_path, dtype):
    """Labels and masks are refused, with the data types that an image may have."""
    np.save(tmp_path / "truth.npy", np.ones((8, 40, 40), dtype))
    with pytest.raises(ConfigError, match=rf"truth.npy: is {dtype}; .* uint8, uint16, float32, float64"):
        noise_of(str(tmp_path / "truth.npy"), 3)
