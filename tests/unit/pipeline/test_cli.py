"""The command line as a person meets it: one line an error, exit codes, JSON alone on standard output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest


def emseg(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a fresh process."""
    code = "from emseg.pipeline.cli import main; main()"
    environment = {**os.environ, "COLUMNS": "100"}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=cwd, capture_output=True, text=True, timeout=300, env=environment
    )


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an ingested affinity layer and a config."""
    folder = tmp_path_factory.mktemp("cli")
    rng = np.random.default_rng(3)
    with h5py.File(folder / "a.h5", "w") as file:
        file["aff"] = rng.integers(0, 256, (3, 30, 34, 38)).astype(np.uint8)
        file["labels"] = rng.integers(0, 9, (30, 34, 38)).astype(np.uint32)
    done = emseg("ingest", "a.h5:aff", "aff", "--voxel-nm", "8,8,8", "--chunk-vx", "16,16,16", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["channels"] == 3
    (folder / "run.yaml").write_text(
        "run: run\naffinities: {layer: aff}\nlayers: {chunk_vx: [16, 16, 16]}\n"
        "stages:\n  fragment: {chunk_vx: [16, 20, 30]}\n  relabel: {chunk_vx: [32, 32, 16]}\n"
    )
    return folder


def test_version_is_printed(tmp_path: Path) -> None:
    """`emseg --version` says the version and nothing else."""
    done = emseg("--version", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.strip()[0].isdigit()


def test_a_run_ends_complete_and_sound(work: Path) -> None:
    """run, status, check: all receipts, no damage, JSON alone on standard output."""
    done = emseg("run", "run.yaml", "--workers", "2", "--json", cwd=work)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["done"]["relabel"] > 1
    state = json.loads(emseg("status", "run", "--json", cwd=work).stdout)
    assert state["planned"] == state["done"]
    assert not any(state["missing"].values())
    checked = json.loads(emseg("check", "run", "--json", cwd=work).stdout)
    assert checked["objects"] > 20
    assert checked["corrupt"] == checked["missing"] == []


def test_check_names_a_flipped_byte(work: Path) -> None:
    """One altered object is found by name, and the exit code is 1."""
    assert emseg("run", "run.yaml", "--set", "run=damaged", "--workers", "1", cwd=work).returncode == 0
    victim = next(
        p for p in sorted((work / "damaged/layers/segmentation").rglob("*")) if p.is_file() and p.name != "info"
    )
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    done = emseg("check", "damaged", "--json", cwd=work)
    assert done.returncode == 1
    assert [Path(c).name for c in json.loads(done.stdout)["corrupt"]] == [victim.name.removesuffix(".gz")]


def test_stitch_refuses_while_chunks_lack_receipts(work: Path) -> None:
    """A planned but unworked run is not stitched; missing chunks are named."""
    assert emseg("plan", "run.yaml", "--set", "run=idle", cwd=work).returncode == 0
    done = emseg("stitch", "idle", cwd=work)
    assert done.returncode == 1
    assert "chunks lack receipts: fragment/0_0_0" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_dry_run_writes_nothing(work: Path) -> None:
    """`plan --dry-run --json` prices the run and leaves no directory."""
    done = emseg("plan", "run.yaml", "--set", "run=priced", "--dry-run", "--json", cwd=work)
    price = json.loads(done.stdout)
    assert set(price) >= {"tasks", "bytes_read", "bytes_written", "halo_overhead", "peak_bytes_per_task"}
    assert not (work / "priced").exists()


BAD = {
    "missing layer": (("plan", "run.yaml", "--set", "affinities.layer=nowhere"), "no info file"),
    "unknown key": (
        ("plan", "run.yaml", "--set", "stages.fragment.treshold=1"),
        "did you mean 'stages.merge.threshold'",
    ),
    "out of range": (("plan", "run.yaml", "--set", "stages.fragment.t_low=1.5"), "less than or equal to 1"),
    "no config": (("plan", "absent.yaml"), "absent.yaml: cannot be read"),
    "not writable": (("plan", "run.yaml", "--set", "run=/proc/emseg"), "cannot be written"),
    "no run": (("status", "aff"), "holds no plan.json"),
    "bad box": (("evaluate", "aff", "aff", "--bbox", "1,2"), "write it as x,y,z:x,y,z"),
    "no data set": (("ingest", "a.h5:nope", "x", "--voxel-nm", "1,1,1"), "with one of aff, labels"),
    "no voxel size": (("ingest", "a.h5:labels", "x"), "give --voxel-nm"),
    "unknown option": (("plan", "run.yaml", "--colour"), "No such option"),
    "bad scheme": (("view", "ftp://host/layer"), "scheme 'ftp' is not allowed"),
}


@pytest.mark.parametrize("name", list(BAD))
def test_bad_input_is_one_line_and_exit_code_2(work: Path, name: str) -> None:
    """What is wrong is said in one line, without a traceback, and nothing is done."""
    arguments, words = BAD[name]
    done = emseg(*arguments, cwd=work)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert not (work / "x").exists()


def test_noise_and_whiteness_say_what_was_measured(tmp_path: Path) -> None:
    """White noise is called independent, as text and as JSON; its residual is white; 3 channels are one line."""
    rng = np.random.default_rng(0)
    clean = np.full((8, 40, 40), 120.0, np.float32)
    np.save(tmp_path / "clean.npy", clean)
    np.save(tmp_path / "noisy.npy", (clean + rng.normal(0, 20, clean.shape)).astype(np.float32))
    done = emseg("noise", "noisy.npy", cwd=tmp_path)
    assert done.returncode == 0
    assert "independent from voxel to voxel" in done.stdout
    values = json.loads(emseg("whiteness", "noisy.npy", "clean.npy", "--json", cwd=tmp_path).stdout)
    assert abs(values["std"] - 20) < 1
    assert "looks like noise" in values["verdict"]
    np.save(tmp_path / "three.npy", np.zeros((3, 4, 8, 8), np.float32))
    failed = emseg("noise", "three.npy", cwd=tmp_path)
    assert failed.returncode == 2
    assert failed.stderr.count("\n") == 1


def test_training_a_denoiser_says_images_seen_and_writes_a_model(tmp_path: Path) -> None:
    """From a config of a few lines: what is said goes to standard error, the model's path to standard output."""
    np.save(tmp_path / "noisy.npy", np.random.default_rng(0).integers(0, 255, (4, 64, 64)).astype(np.uint8))
    (tmp_path / "denoise.yaml").write_text(
        "name: mine\nout: out\nvolumes: [{image: noisy.npy}]\nvoxel_nm: [4, 4, 40]\ndepth: 1\nfeatures: 2\nepochs: 1\n"
        "patch_vx: [16, 16, 1]\n"
    )
    done = emseg("train", "denoise", "denoise.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "batch 16 × 4 steps × 1 epochs = 64 images seen" in done.stderr
    assert "stages.denoise.model: out/mine.safetensors" in done.stdout
    assert (tmp_path / "out" / "curves.png").exists()
