"""`emseg stitch` on a finished run, and `emseg check --repair`, as a person types them."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from unit.pipeline.test_cli import emseg


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run at 0.5, and a truth."""
    folder = tmp_path_factory.mktemp("stitch")
    rng = np.random.default_rng(3)
    with h5py.File(folder / "a.h5", "w") as file:
        file["aff"] = (rng.integers(0, 17, (3, 30, 34, 38)) * 15).astype(np.uint8)
        file["labels"] = np.kron(rng.integers(1, 9, (3, 4, 4)), np.ones((10, 9, 10)))[:, :34, :38].astype(np.uint32)
    for name in ("aff", "labels"):
        kind = ("--kind", "segmentation") if name == "labels" else ()
        done = emseg("ingest", f"a.h5:{name}", name, "--voxel-nm", "8,8,8", "--chunk-vx", "16,16,16", *kind, cwd=folder)
        assert done.returncode == 0, done.stderr
    (folder / "run.yaml").write_text(
        "run: run\naffinities: {layer: aff}\nlayers: {chunk_vx: [16, 16, 16]}\n"
        "stages:\n  fragment: {chunk_vx: [16, 20, 30]}\n  merge: {threshold: 0.5, min_size_vx: 20}\n"
        "  relabel: {chunk_vx: [32, 32, 16]}\n"
    )
    done = emseg("run", "run.yaml", "--workers", "2", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "layers/segmentation" in done.stdout
    return folder


def test_a_cut_is_a_run_that_can_be_checked_and_scored(work: Path) -> None:
    """--threshold makes a run below the run; check proves it and evaluate scores it."""
    done = emseg("stitch", "run", "--threshold", "0.6", "--workers", "1", "--json", cwd=work)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)["run"]
    assert "/run/stitches/0.6-" in made
    checked = json.loads(emseg("check", made, "--json", cwd=work).stdout)
    assert checked["corrupt"] == checked["missing"] == []
    scored = json.loads(emseg("evaluate", made, "labels", "--json", cwd=work).stdout)
    base = json.loads(emseg("evaluate", "run", "labels", "--json", cwd=work).stdout)
    assert scored["vi_split"] != base["vi_split"]


def test_a_sweep_prints_one_row_a_threshold(work: Path) -> None:
    """--sweep scores the thresholds asked for and names the best; its first row is the run's own score."""
    done = emseg("stitch", "run", "--sweep", "labels", "--thresholds", "0.5,0.6", "--workers", "1", "--json", cwd=work)
    assert done.returncode == 0, done.stderr
    swept = json.loads(done.stdout)
    base = json.loads(emseg("evaluate", "run", "labels", "--json", cwd=work).stdout)
    assert [row["threshold"] for row in swept["rows"]] == ["0.5", "0.6"]
    assert swept["rows"][0]["vi_merge"] == pytest.approx(base["vi_merge"], abs=1e-12)
    assert swept["best"] in ("0.5", "0.6")


def test_a_sweep_whose_best_is_the_lowest_says_what_that_means(work: Path) -> None:
    """Below the run's own threshold nothing can be scored, so the best may lie there."""
    done = emseg("stitch", "run", "--sweep", "labels", "--thresholds", "0.5", "--workers", "1", cwd=work)
    assert "a lower one may be better" in done.stdout


def test_an_audit_says_what_it_made_again(work: Path) -> None:
    """--verify counts nodes, voxels and settled segments."""
    done = emseg("stitch", "run", "--verify", "2", "--workers", "1", "--json", cwd=work)
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    assert (values["made"], values["nodes"], values["different"]) == (2, 2, 0)
    assert values["voxels"] > 0


def test_an_audit_counts_a_node_once(work: Path) -> None:
    """A tree of one node, made again over three grids: one node, with the voxels that it has."""
    text = (work / "run.yaml").read_text().replace("run: run", "run: single")
    (work / "single.yaml").write_text(text.replace("{chunk_vx: [16, 20, 30]}", "{chunk_vx: [64, 64, 64]}"))
    done = emseg("run", "single.yaml", "--workers", "1", cwd=work)
    assert done.returncode == 0, done.stderr
    done = emseg("stitch", "single", "--verify", "3", "--workers", "1", cwd=work)
    assert done.returncode == 0, done.stderr
    assert f"1 node of {30 * 34 * 38} voxels in all, made again over 3 other grids: " in done.stdout


def test_an_audit_makes_histograms_again(work: Path) -> None:
    """A run by a quantile, done by local workers, is what its nodes give over other grids."""
    text = (work / "run.yaml").read_text().replace("run: run", "run: median")
    (work / "median.yaml").write_text(text.replace("{threshold: 0.5,", "{linkage: quantile50, threshold: 0.6,"))
    done = emseg("run", "median.yaml", "--workers", "2", cwd=work)
    assert done.returncode == 0, done.stderr
    done = emseg("stitch", "median", "--verify", "3", "--workers", "1", "--json", cwd=work)
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    assert (values["made"], values["different"]) == (3, 0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--threshold", "0.3"), "merged down to 0.5"),
        (("--threshold", "high"), "give a probability"),
        (("--threshold", "0.6", "--verify", "1"), "give one of"),
        (("--sweep", "aff"), "labels are integers"),
        (("--sweep", "nowhere"), "no info file"),
    ],
)
def test_what_cannot_be_stitched_is_one_line(work: Path, options: tuple[str, ...], words: str) -> None:
    """Exit code 2, no traceback."""
    done = emseg("stitch", "run", *options, cwd=work)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_cut_is_not_cut_again(work: Path) -> None:
    """It has no tree: --threshold, --sweep and --verify name the run to give, and stitching alone finishes it."""
    made = json.loads(emseg("stitch", "run", "--dust-vx", "9", "--workers", "1", "--json", cwd=work).stdout)["run"]
    for options in (("--threshold", "0.8"), ("--sweep", "labels"), ("--verify", "2")):
        done = emseg("stitch", made, *options, cwd=work)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert done.stderr.rstrip().endswith(
            f"is a cut of file://{work}/run by --threshold or --dust-vx: give file://{work}/run"
        )
    assert emseg("stitch", made, cwd=work).returncode == 0


def test_a_damaged_object_is_written_again(work: Path) -> None:
    """check names the damage and the remedy; --repair and one more run give the bytes back."""
    victim = next(p for p in sorted((work / "run/layers/segmentation").rglob("*")) if p.is_file() and p.name != "info")
    content = victim.read_bytes()
    victim.write_bytes(content[:-3])
    assert "--repair" in emseg("check", "run", cwd=work).stdout
    assert emseg("check", "run", "--repair", cwd=work).returncode == 1
    assert emseg("run", "run.yaml", "--workers", "1", cwd=work).returncode == 0
    assert victim.read_bytes() == content
    assert emseg("check", "run", cwd=work).returncode == 0


def test_a_run_half_done_is_not_scored(work: Path) -> None:
    """evaluate says how far the segmentation is, and does not speak of missing objects."""
    assert emseg("plan", "run.yaml", "--set", "run=idle", cwd=work).returncode == 0
    done = emseg("evaluate", "idle", "labels", cwd=work)
    assert done.returncode == 1
    assert "is not finished: 0 of" in done.stderr
