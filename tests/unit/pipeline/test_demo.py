"""What the demo runs, and that a noisy one comes to its end."""

from denoisers import denoise_spec, saved_denoiser
from tiny import tiny_model

from emseg.pipeline import demo
from emseg.pipeline.config import RunConfig
from emseg.pipeline.demo import activation, demo_config, run_demo
from emseg.tasks.volume.layer import open_layer


def test_a_noisy_demo_denoises_first():
    """With the shipped denoiser, in the same chunks as prediction; without noise there is no such stage."""
    config = demo_config("run", "image", 96, 1, denoise=True)
    assert config.stages.denoise.model == "fib25-n2v"
    assert config.stages.denoise.batch == config.stages.predict.batch == 1
    assert config.stages.denoise.chunk_vx == config.stages.predict.chunk_vx == (32, 32, 32)
    assert demo_config("run", "image", 96, 1, denoise=False).stages.denoise is None


def test_a_noisy_demo_scores_the_image_as_it_is_and_denoised(tmp_path, monkeypatch):
    """With small models: two runs over one noisy phantom, both scored; the second reads what the first stage wrote."""
    models = {
        "denoise": saved_denoiser(tmp_path, denoise_spec(3, 1, (32, 32, 32))),
        "predict": tiny_model(tmp_path),
    }

    def small(*given, **options):
        values = demo_config(*given, **options).model_dump(mode="json")
        for stage, model in models.items():
            if values["stages"].get(stage):
                values["stages"][stage]["model"] = model
        return RunConfig.model_validate(values)

    monkeypatch.setattr(demo, "demo_config", small)
    found = run_demo(str(tmp_path / "demo"), 64, seed=0, workers=1, noisy=True)
    scores = {"vi_split", "vi_merge", "adapted_rand_error"}
    assert scores <= set(found)
    assert scores <= set(found["as_it_is"])
    denoised = open_layer(found["run"] + "/layers/denoised")
    noisy = open_layer(str(tmp_path / "demo" / "phantom" / "layers" / "image"))
    assert denoised.bounds == noisy.bounds
    assert denoised.read_ZYX(denoised.bounds).std() > 0


def test_a_demo_says_how_the_shell_learns_of_emseg(tmp_path, monkeypatch):
    """Only in a virtual environment that the shell does not have on its path."""
    monkeypatch.setattr(demo.sys, "prefix", str(tmp_path / "venv"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo.shutil, "which", lambda name: None)
    assert activation().startswith("next: source venv/bin/activate, ")
    monkeypatch.setattr(demo.shutil, "which", lambda name: "/bin/emseg")
    assert activation() == ""
