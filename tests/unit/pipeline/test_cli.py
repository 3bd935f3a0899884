"""The command line as a person meets it: one line an error, exit codes, JSON alone on standard output."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from emseg.pipeline.cli_data import LAYOUTS, PICTURE, view
from emseg.pipeline.cli_errors import described
from emseg.pipeline.viewer_state import COMPARE, PANELS


def emseg(*arguments: str, cwd: Path, **changes: str | None) -> subprocess.CompletedProcess[str]:
    """Run a command in a fresh process, its environment changed."""
    code = "from emseg.pipeline.cli import main; main()"
    environment = {k: v for k, v in {**os.environ, "COLUMNS": "100", **changes}.items() if v is not None}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=cwd, capture_output=True, text=True, timeout=300, env=environment
    )


def storage(tmp_path: Path, **given: str) -> dict[str, str | None]:
    """Environment without credentials, or with the given variables alone."""
    named = {name: None for name in os.environ if name.startswith("AWS_")}
    empty = {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "1"}
    return {**named, **empty, "NO_PROXY": "127.0.0.1", **given}


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
    assert checked["done"] == checked["planned"] == sum(state["planned"].values())
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


def test_check_proves_nothing_of_an_idle_run(work: Path) -> None:
    """A planned but unworked run is not sound: 0 of so many tasks are done, and the exit code is 1."""
    assert emseg("plan", "run.yaml", "--set", "run=unworked", cwd=work).returncode == 0
    done = emseg("check", "unworked", "--json", cwd=work)
    assert done.returncode == 1
    checked = json.loads(done.stdout)
    assert (checked["done"], checked["planned"] > 10) == (0, True)


def test_a_dry_run_writes_nothing(work: Path) -> None:
    """`plan --dry-run --json` prices the run and leaves no directory."""
    done = emseg("plan", "run.yaml", "--set", "run=priced", "--dry-run", "--json", cwd=work)
    price = json.loads(done.stdout)
    assert set(price) >= {"tasks", "bytes_read", "bytes_written", "halo_overhead", "peak_bytes_per_task"}
    assert not (work / "priced").exists()


def test_a_plan_says_by_what_it_merges(work: Path) -> None:
    """Thresholds, whoever said them, and the size rule that nobody said."""
    done = emseg("plan", "run.yaml", "--set", "run=priced", "--dry-run", cwd=work)
    assert "thresholds: fragments 0.02 and 0.98; size rule below 200 voxels; mean of 0." in done.stdout


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
    "number out of bounds": (("stitch", "run", "--verify", "-1"), "--verify"),
    "repair without queue": (("status", "run", "--repair"), "--queue fq://FOLDER or sqs://NAME"),
    "ids that are none": (("view", "aff", "--segments", "abc"), "give ids from 0 to 18446744073709551615"),
    "ids beyond 64 bits": (("view", "aff", "--link", "--segments", str(1 << 64)), "give ids from 0 to"),
    "a date that is none": (("plan", "run.yaml", "--set", "run=2024-13-45"), "month must be in 1..12"),
    "no place for a queue": (("worker", "fq:///proc/q"), "queue fq:///proc/q/cpu: its folder cannot be made"),
    "a queue in no folder": (("plan", "run.yaml", "--set", "run=q", "--queue", "fq:///proc/q"), "cannot be made"),
    "no Dask address": (("run", "run.yaml", "--set", "run=d", "--dask", "nonsense"), "tcp://host:port"),
    "a queue is not run": (
        ("run", "run.yaml", "--set", "run=x", "--set", "engine={kind: queue, queue: fq://q}"),
        "runs by `emseg plan`, `emseg worker`",
    ),
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


def test_storage_without_credentials_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    """A bucket without credentials is bad usage; the line says where they may stand."""
    done = emseg("status", "s3://somewhere/run", cwd=tmp_path, **storage(tmp_path))
    assert done.returncode == 2, done.stderr
    assert "give credentials in the environment" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


@pytest.mark.parametrize(
    ("code", "exit_code"), [("NoSuchBucket", 2), ("AccessDenied", 2), ("InvalidAccessKeyId", 2), ("SlowDown", 75)]
)
def test_an_answer_of_a_bucket_has_its_exit_code(code: str, exit_code: int) -> None:
    """What a person must mend is bad usage, what passes by itself is temporary; one line each."""
    line, found = described(ClientError({"Error": {"Code": code, "Message": "no\nnot now"}}, "GetObject"))
    assert found == exit_code
    assert (code in line, "\n" in line) == (True, False)


def test_a_server_that_does_not_answer_is_temporary() -> None:
    """A refused connection has exit code 75, and the line names the server."""
    line, code = described(EndpointConnectionError(endpoint_url="http://127.0.0.1:9"))
    assert code == 75
    assert "127.0.0.1:9" in line


def test_what_others_print_is_not_on_standard_output(tmp_path: Path) -> None:
    """Libraries and children that print do so on standard error: standard output is one JSON object."""
    code = (
        "import os, subprocess; from emseg.pipeline.output import keep_stdout, say; keep_stdout(); print('library');"
        "os.write(1, b'kernel\\n'); subprocess.run(['echo', 'child']); say({'a': 1}, True)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stdout == '{"a": 1}\n'
    assert sorted(done.stderr.split()) == ["child", "kernel", "library"]


def test_a_child_logs_on_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    """The log of a child process is never on standard output."""
    code = (
        "from emseg.pipeline.output import log_to_stderr as f; f(); import structlog; structlog.get_logger().error('x')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    found = capfd.readouterr()
    assert found.out == ""
    assert json.loads(found.err)["event"] == "x"


def test_help_is_on_standard_output(tmp_path: Path) -> None:
    """Help can be paged."""
    assert "--dry-run" in emseg("plan", "--help", cwd=tmp_path).stdout


def test_a_hosted_link_shows_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """`view --link` passes segments, place and layout on."""
    asked: dict[str, object] = {}
    monkeypatch.setattr("emseg.pipeline.cli_data._layers", lambda sources: [])
    monkeypatch.setattr("emseg.pipeline.view.hosted_link", lambda layers, **options: asked.update(options) or "link")
    view(["s3://bucket/layer"], link=True, segments="7,12", position="3,4,5", layout="xy")
    assert asked == {"position": (3, 4, 5), "segments": (7, 12), "layout": "xy"}


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
    part = ("whiteness", "noisy.npy", "clean.npy", "--bbox", "0,0,0:30,20,8", "--json")
    assert json.loads(emseg(*part, cwd=tmp_path).stdout)["bbox"] == "0,0,0:30,20,8"
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
    assert "training on " in done.stderr
    assert re.search(r"train \d.*, validation \d.* 4/4", done.stderr)
    assert "stages.denoise.model: out/mine.safetensors" in done.stdout
    assert (tmp_path / "out" / "curves.png").exists()


@pytest.mark.parametrize(
    ("module", "function", "command", "said"),
    [
        (
            "cli_run",
            "run_plan",
            "run run.yaml --set 'run=stopped one'",
            "finished tasks are kept, and the same command goes on",
        ),
        ("ingest", "ingest", "ingest raw.npy layer --voxel-nm 8,8,8", "run the same command again"),
        ("stats", "stats", "stats raw", "run the same command again"),
    ],
)
def test_a_stopped_command_says_so_once(work: Path, module: str, function: str, command: str, said: str) -> None:
    """Ctrl-C has exit code 130, and one line says what is kept, if anything, and which command to run."""
    code = f"""
import emseg.pipeline.{module} as commands
from emseg.pipeline.cli import main

def stop(*given, **options):
    raise KeyboardInterrupt

assert hasattr(commands, "{function}")
commands.{function} = stop
main()
"""
    call = [sys.executable, "-c", code, *shlex.split(command)]
    done = subprocess.run(call, cwd=work, capture_output=True, text=True, timeout=300)
    assert done.returncode == 130
    assert done.stderr.splitlines()[-1] == f"emseg: stopped; {said}: emseg {command}"
    assert done.stderr.count("stopped;") == 1


def test_a_single_chunk_has_no_node_to_speak_of(work: Path) -> None:
    """Where the whole is one leaf, a plan says nothing of the memory of a node."""
    one = ("--set", "stages.fragment.chunk_vx=[64, 64, 64]")
    done = emseg("plan", "run.yaml", "--set", "run=priced", "--dry-run", *one, cwd=work)
    assert (done.returncode, "a node of the tree" in done.stdout) == (0, False)
    assert "a node of the tree" in emseg("plan", "run.yaml", "--set", "run=priced", "--dry-run", cwd=work).stdout


def test_the_help_of_view_lists_every_layout() -> None:
    """Those that the viewer takes, and what a picture needs."""
    assert re.split(r", (?:or )?|: ", LAYOUTS)[:-1] == [*PANELS, COMPARE]
    assert "pip install playwright" in PICTURE
