"""Commands of the denoising family: train, noise, whiteness."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emseg.pipeline.cli_run import AsJson, Sets
from emseg.pipeline.cli_values import box_of
from emseg.pipeline.output import note, say
from emseg.tasks.volume.errors import ConfigError

Mip = Annotated[int, typer.Option(min=0, help="resolution level of a layer")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (noise, whiteness):
        app.command(name=command.__name__)(command)


def train_denoise(
    config_file: Annotated[Path, typer.Argument(help="training config")],
    sets: Sets = [],  # noqa: B006
    resume: Annotated[bool, typer.Option("--resume", help="go on from the last checkpoint")] = False,
    init_from: Annotated[str, typer.Option(help="start from another denoiser: its weights and its last rate")] = "",
) -> None:
    """Train a denoiser on noisy images alone; writes a model file that `stages.denoise.model` takes."""
    try:
        from emseg.pipeline.train_denoise import train_denoise as train
    except ModuleNotFoundError as error:
        raise ConfigError(f"training needs {error.name}: pip install 'emseg[train]'") from None

    finished = train(config_file, resume=resume, init_from=init_from or None, sets=tuple(sets), say=note)
    say({"model": str(finished)}, False, f"wrote {finished}; use it: stages.denoise.model: {finished}")


def noise(
    source: Annotated[str, typer.Argument(help="image layer, or file as for ingest")],
    dims: Annotated[int, typer.Option(min=2, max=3, help="2: sections too thick to compare")] = 3,
    mip: Mip = 0,
    as_json: AsJson = False,
) -> None:
    """How strong an image's noise is, and along which axes it is correlated: which variant of Noise2Void fits."""
    from emseg.pipeline.whiteness import noise_of

    values = noise_of(source, 2 if dims == 2 else 3, mip)
    lines = [
        f"noise about {values['sigma']:.2f} grey levels",
        *(f"correlation along {a} at 1, 2, 3 voxels: {_row(v)}" for a, v in values["correlation"].items()),
        values["advice"],
    ]
    say(values, as_json, *lines)


def whiteness(
    noisy: Annotated[str, typer.Argument(help="image layer or file, before")],
    denoised: Annotated[str, typer.Argument(help="image layer or file, after")],
    mip: Mip = 0,
    bbox: Annotated[str, typer.Option(help="x,y,z:x,y,z, half-open: where to compare; default: all of both")] = "",
    as_json: AsJson = False,
) -> None:
    """Check a denoiser without truth: what it took away should be white and unlike the tissue."""
    from emseg.pipeline.whiteness import whiteness_of

    values = whiteness_of(noisy, denoised, mip, box_of(bbox))
    lines = [
        f"residual: mean {values['mean']:.2f}, standard deviation {values['std']:.2f}",
        *(f"correlation along {a} at 1, 2, 3 voxels: {_row(v)}" for a, v in values["correlation"].items()),
        f"correlation with the denoised image: {values['with_image']:.3f}",
        values["verdict"],
    ]
    say(values, as_json, *lines)


def _row(values: list[float]) -> str:
    return ", ".join(f"{v:.3f}" for v in values) or "too thin"
