"""What the demo runs."""

from emseg.pipeline.demo import demo_config


def test_a_noisy_demo_denoises_first():
    """With the shipped denoiser, in the same chunks as prediction; without noise there is no such stage."""
    config = demo_config("run", "image", 96, 1, denoise=True)
    assert config.stages.denoise.model == "fib25-n2v"
    assert config.stages.denoise.chunk_vx == config.stages.predict.chunk_vx == (32, 32, 32)
    assert demo_config("run", "image", 96, 1, denoise=False).stages.denoise is None
