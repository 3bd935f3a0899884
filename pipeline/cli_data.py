"""Commands around a run: ingest, stats, components, phantom, evaluate, view, train, demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from emseg.pipeline import cli_denoise
from emseg.pipeline.cli_run import AsJson, Sets, Workers
from emseg.pipeline.cli_values import box_of, ids_of, number, numbers
from emseg.pipeline.config import Engine
from emseg.pipeline.output import note, say
from emseg.pipeline.progress import bars
from emseg.pipeline.runner import workers_of
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import ConfigError
from emseg.tasks.volume.url import canonical_url, joined_url

LAYOUTS = "4panel, 4panel-alt, xy, xz, yz, xy-3d, xz-3d, yz-3d, 3d, or compare: one panel a layer"
PICTURE = "write a PNG and end; needs `pip install playwright`, and Chromium or Chrome on the PATH or in EMSEG_CHROMIUM"
Numbers = Annotated[str, typer.Option(help="three numbers x,y,z")]
Box = Annotated[str, typer.Option(help="x,y,z:x,y,z, half-open")]
Records = Annotated[str, typer.Option(help="folder that keeps what was read, so that a stopped command goes on")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (ingest, stats, components, phantom, evaluate, view, demo):
        app.command(name=command.__name__)(command)
    cli_denoise.register(app)
    trainer = typer.Typer(help="Train a model from a config file.", no_args_is_help=True, rich_markup_mode=None)
    trainer.command(name="affinity")(train_affinity)
    trainer.command(name="denoise")(cli_denoise.train_denoise)
    app.add_typer(trainer, name="train")


def ingest(
    source: Annotated[str, typer.Argument(help="file.h5:dataset, .npy, .tif, or a folder of PNG sections")],
    dest: Annotated[str, typer.Argument(help="layer to make: path or URL")],
    voxel_nm: Annotated[str, typer.Option(help="x,y,z; default: what the file says")] = "",
    offset: Annotated[str, typer.Option(help="x,y,z of the first voxel")] = "0,0,0",
    chunk_vx: Annotated[str, typer.Option(help="x,y,z of a storage chunk")] = "64,64,64",
    kind: Annotated[str, typer.Option(help="image, segmentation or affinity; default: by data type")] = "",
    mips: Annotated[int, typer.Option(min=0, max=12, help="coarser mips to add")] = 0,
    workers: Workers = 0,
    as_json: AsJson = False,
) -> None:
    """Turn a file into a layer that every stage and Neuroglancer can read, streaming."""
    from emseg.pipeline.ingest import ingest as ingest_file

    with bars(f"ingest {source}") as watch:
        values = ingest_file(
            source,
            dest,
            voxel_nm=numbers(voxel_nm, "--voxel-nm", float) if voxel_nm else None,
            offset=numbers(offset, "--offset"),
            chunk_vx=numbers(chunk_vx, "--chunk-vx"),
            kind=kind or None,
            mips=mips,
            workers=workers_of(Engine(workers=workers)),
            watch=watch,
        )
    say(values, as_json, f"ingested {values['layer']}: {values['bbox']}, {values['voxel_nm']} nm")


def stats(
    source: Annotated[str, typer.Argument(help="image layer: path or URL")],
    out: Annotated[Path, typer.Option(help="file to write")] = Path("levels.json"),
    mip: Annotated[int, typer.Option(min=0, help="resolution level")] = 0,
    records: Records = "",
    workers: Workers = 0,
    as_json: AsJson = False,
) -> None:
    """Grey levels of a source, per section and in all, for `normalise:`."""
    from emseg.pipeline.stats import stats as measure

    with bars(f"stats {source}") as watch:
        values = measure(
            source, out, mip=mip, workers=workers_of(Engine(workers=workers)), records=records, watch=watch
        )
    say(values, as_json, f"wrote {out}: mean {values['mean']:.2f}, std {values['std']:.2f}")


def components(
    labels: Annotated[str, typer.Argument(help="label layer: path or URL; with --above, an image")],
    out: Annotated[str, typer.Argument(help="layer to make: path or URL")],
    connectivity: Annotated[int, typer.Option(help="6: faces, 18: and edges, 26: and corners")] = 26,
    dust_vx: Annotated[int, typer.Option(help="components of fewer voxels in all become 0")] = 0,
    above: Annotated[str, typer.Option(help="voxels above this value are foreground; default: labels")] = "",
    chunk_vx: Annotated[str, typer.Option(help="x,y,z of a chunk; never shows in the result")] = "256,256,256",
    bbox: Box = "",
    mip: Annotated[int, typer.Option(min=0, help="resolution level")] = 0,
    records: Annotated[str, typer.Option(help="folder for records of the work; default: OUT.components")] = "",
    workers: Workers = 0,
    as_json: AsJson = False,
) -> None:
    """Connected components of labels or of a thresholded image, over chunks, exact: ids and dust by the whole."""
    from emseg.pipeline.components import ComponentRules, connected_components

    rules = ComponentRules(connectivity, dust_vx, number(above, "--above") if above else None)
    with bars(f"components {labels}") as watch:
        values = connected_components(
            labels,
            out,
            rules,
            chunk_vx=numbers(chunk_vx, "--chunk-vx"),
            bbox=box_of(bbox),
            mip=mip,
            records=records,
            workers=workers_of(Engine(workers=workers)),
            watch=watch,
        )
    say(values, as_json, f"{values['components']} components in {values['layer']}, {values['bbox']}")


def phantom(
    dest: Annotated[str, typer.Argument(help="folder for the layers image and labels")],
    size: Annotated[str, typer.Option(help="x,y,z in voxels")] = "192,192,192",
    offset: Annotated[str, typer.Option(help="x,y,z of the first voxel")] = "0,0,0",
    seed: Annotated[int, typer.Option(min=0, help="decides everything")] = 0,
    everything: Annotated[
        bool, typer.Option("--everything", help="soma, glia, vessel, blank slab, resin, gap")
    ] = False,
    affinities: Annotated[bool, typer.Option("--affinities", help="also perfect affinities, for scale tests")] = False,
    workers: Workers = 0,
    as_json: AsJson = False,
) -> None:
    """Make EM-like tissue with dense truth, of any size, from a seed."""
    from emseg.pipeline.phantom import make_phantom, params_of

    box = BBox.sized(numbers(offset, "--offset"), numbers(size, "--size"))
    params = params_of(seed, everything)
    with bars(f"phantom {dest}") as watch:
        values = make_phantom(
            dest, box, params, affinities=affinities, workers=workers_of(Engine(workers=workers)), watch=watch
        )
    say(values, as_json, f"made {values['image']} and {values['labels']}, {box}")


def evaluate(
    seg: Annotated[str, typer.Argument(help="segmentation layer, or a run directory")],
    gt: Annotated[str, typer.Argument(help="truth layer")],
    bbox: Box = "",
    background: Annotated[str, typer.Option(help="what predicted 0 is: segment, ignore or singletons")] = "segment",
    mip: Annotated[int, typer.Option(min=0, help="resolution level of both")] = 0,
    allow_seen: Annotated[
        bool, typer.Option("--allow-seen", help="score data the model was trained on, marked")
    ] = False,
    records: Records = "",
    workers: Workers = 0,
    as_json: AsJson = False,
) -> None:
    """Score a segmentation against truth: VI split and merge in bits, adapted Rand error; in chunks, exactly."""
    from emseg.pipeline.evaluate import evaluate as score
    from emseg.pipeline.evaluate import require_finished
    from emseg.pipeline.viewer_layers import is_run

    url = canonical_url(seg)
    if is_run(url):
        require_finished(url)
        url = joined_url(url, "layers", "segmentation")
    with bars(f"evaluate {seg}") as watch:
        values = score(
            url,
            gt,
            bbox=box_of(bbox),
            background=background,
            mip=mip,
            workers=workers_of(Engine(workers=workers)),
            allow_seen=allow_seen,
            records=records,
            watch=watch,
        )
    say(values, as_json, *scored(values))


def scored(values: dict[str, Any]) -> list[str]:
    """Lines for people."""
    total = values["vi_split"] + values["vi_merge"]
    return [
        f"VI {total:.4f} bits: split {values['vi_split']:.4f} + merge {values['vi_merge']:.4f}",
        f"adapted Rand error {values['adapted_rand_error']:.4f}",
        str(values["convention"]),
        *([f"the model has seen this truth: {values['seen']}"] if values.get("seen") else []),
    ]


def view(
    sources: Annotated[list[str], typer.Argument(help="a run directory, or layers as PATH or NAME=PATH")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one")] = 0,
    segments: Annotated[str, typer.Option(help="ids to select, comma-separated")] = "",
    position: Annotated[str, typer.Option(help="x,y,z to look at")] = "",
    layout: Annotated[str, typer.Option(help=LAYOUTS)] = "4panel",
    browser: Annotated[bool, typer.Option(help="open a browser window")] = True,
    link: Annotated[
        bool, typer.Option("--link", help="print a hosted Neuroglancer link (s3://, gs://) and end")
    ] = False,
    screenshot: Annotated[str, typer.Option(help=PICTURE)] = "",
    as_json: AsJson = False,
) -> None:
    """Look at a run or at layers in Neuroglancer, offline."""
    from emseg.pipeline import view as viewing

    layers, ids = _layers(sources), ids_of(segments)
    place = numbers(position, "--position", float) if position else None
    if link:
        url = viewing.hosted_link(layers, position=place, segments=ids, layout=layout)
        say({"link": url}, as_json, url)
        return
    opened = viewing.open_viewer(layers, port=port, segments=ids, position=place, layout=layout)
    if screenshot:
        viewing.screenshot(opened, screenshot)
        say({"screenshot": screenshot}, as_json, f"wrote {screenshot}")
        return
    say({"link": opened.url}, as_json, f"open {opened.url}", "Ctrl-C ends it")
    if browser:
        typer.launch(opened.url)
    viewing.serve_forever(opened)


def _layers(sources: list[str]) -> Any:
    from emseg.pipeline.viewer_layers import is_run, run_layers, view_layers

    if len(sources) == 1 and "=" not in sources[0] and is_run(canonical_url(sources[0])):
        return run_layers(canonical_url(sources[0]))
    pairs = []
    for source in sources:
        name, equals, url = source.partition("=")
        url = canonical_url(url if equals else source)
        pairs.append((name if equals else url.rsplit("/", 1)[-1], url))
    return view_layers(pairs)


def train_affinity(
    config_file: Annotated[Path, typer.Argument(help="training config")],
    sets: Sets = [],  # noqa: B006
    resume: Annotated[bool, typer.Option("--resume", help="go on from the last checkpoint")] = False,
    init_from: Annotated[str, typer.Option(help="start from another model's weights")] = "",
) -> None:
    """Train an affinity network; writes a model file that `stages.predict.model` takes."""
    try:
        from emseg.pipeline.train import train_affinity as train
    except ModuleNotFoundError as error:
        raise ConfigError(f"training needs {error.name}: pip install 'emseg[train]'") from None

    finished = train(config_file, resume=resume, init_from=init_from or None, sets=tuple(sets))
    say({"model": str(finished)}, False, f"wrote {finished}; use it: stages.predict.model: {finished}")


def demo(
    out: Annotated[str, typer.Option(help="folder to work in")] = "demo",
    size: Annotated[int, typer.Option(min=64, max=4096, help="voxels along each axis")] = 192,
    seed: Annotated[int, typer.Option(min=0, help="of the phantom")] = 0,
    serve: Annotated[bool, typer.Option(help="keep the viewer open until Ctrl-C")] = False,
    noisy: Annotated[
        bool, typer.Option("--noisy", help="noise in the image, and a denoiser before prediction")
    ] = False,
    workers: Workers = 0,
    as_json: AsJson = False,
) -> None:
    """The whole chain on a phantom: make, predict, stitch, evaluate, look."""
    from emseg.pipeline import view as viewing
    from emseg.pipeline.demo import activation, run_demo
    from emseg.pipeline.viewer_layers import run_layers

    values = run_demo(out, size, seed=seed, workers=workers_of(Engine(workers=workers)), noisy=noisy)
    opened = viewing.open_viewer(run_layers(values["run"]))
    values["link"] = opened.url
    before = [f"noisy, as it is: {line}" for line in scored(values["as_it_is"])[:2]] if noisy else []
    lines = [
        *before,
        *scored(values),
        f"{values['voxels']} voxels in {values['chunks']} chunks, {values['seconds']:.0f} s",
    ]
    say(values, as_json, *lines, f"look at it: {opened.url}" if serve else f"look at it: emseg view {values['run']}")
    next_step = activation()
    if next_step:
        note(next_step)
    if serve:
        note("Ctrl-C ends the viewer")
        viewing.serve_forever(opened)
