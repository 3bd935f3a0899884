"""run.yaml as data: defaults stand; a wrong value is one line with file, line, key, value and what is allowed."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from emseg.pipeline.config import RunConfig
from emseg.pipeline.yamlfile import load_yaml
from emseg.tasks.volume.errors import ConfigError

SOUND = """run: runs/mine
source:
  layer: data/em
"""


def loaded(tmp_path: Path, text: str, *sets: str) -> RunConfig:
    """A run.yaml of this text."""
    path = tmp_path / "run.yaml"
    path.write_text(text)
    return load_yaml(RunConfig, path, sets)


def test_three_lines_are_enough(tmp_path):
    """A run directory and a source make a configuration; everything else has a default."""
    config = loaded(tmp_path, SOUND)
    assert (config.run, config.source.layer, config.affinities, config.bbox) == ("runs/mine", "data/em", None, None)
    assert config.stages.fragment.t_low == Decimal("0.02")
    assert config.stages.fragment.t_high == Decimal("0.98")


def test_thresholds_are_exact_decimals(tmp_path):
    """A threshold is the decimal that was written, not the nearest binary number."""
    config = loaded(tmp_path, SOUND + "stages: {merge: {threshold: 0.3}}\n")
    assert config.stages.merge.threshold == Decimal("0.3")


def test_a_configuration_does_not_change(tmp_path):
    """Values are frozen once read."""
    with pytest.raises(ValueError, match="frozen"):
        loaded(tmp_path, SOUND).run = "other"


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("stages:\n  fragment:\n    t_lo: 0.1\n", 6, r"unknown key 'stages\.fragment\.t_lo'; did you mean 't_low'\?"),
        ("t_low: 0.1\n", 4, r"unknown key 't_low'; did you mean 'stages\.fragment\.t_low'\?"),
        ("zzzzzz: 1\n", 4, r"unknown key 'zzzzzz'; known here: .*bbox"),
        ("stages:\n  fragment:\n    t_low: 2\n", 6, r"stages\.fragment\.t_low is 2: .*less than or equal to 1"),
        ("stages:\n  fragment:\n    t_low: -1\n", 6, r"stages\.fragment\.t_low is -1: .*greater than 0"),
        ("stages:\n  fragment:\n    t_low: much\n", 6, r"stages\.fragment\.t_low is 'much'"),
        ("stages:\n  fragment:\n    t_low: .nan\n", 6, r"stages\.fragment\.t_low is nan"),
        ("stages:\n  fragment:\n    t_low: 0.99\n", 5, r"t_low 0\.99 must not be above t_high 0\.98"),
        ("stages:\n  predict:\n    chunk_vx: [64, 64]\n", 6, r"stages\.predict\.chunk_vx"),
        ("stages:\n  predict:\n    chunk_vx: [64, 64, 0]\n", 6, r"chunk_vx\.2 is 0: .*greater than or equal to 1"),
        ("stages:\n  predict:\n    precision: bf16\n", 5, r"bf16 needs device: cuda"),
        ("stages:\n  predict:\n    batch: 1.5\n", 6, r"stages\.predict\.batch is 1\.5"),
        ("stages:\n  merge:\n    min_size_vx: -1\n", 6, r"min_size_vx is -1: .*greater than or equal to 0"),
        ("stages:\n  downsample:\n    factor: [3, 3, 1]\n", 6, r"factor\.0 is 3: .*less than or equal to 2"),
        ("engine:\n  kind: slurm\n", 5, r"engine\.kind is 'slurm': .*'local'"),
        ("engine:\n  workers: -1\n", 5, r"engine\.workers is -1"),
        ("bbox: [[0, 0, 0]]\n", 4, r"bbox"),
        ("bbox: [[0, 0, 0], [8, 8, 8.5]]\n", 4, r"bbox\.1\.2 is 8\.5"),
        ("mask: {mip: 1}\n", 4, r"'mask\.layer' is missing"),
        ("normalise: {kind: global}\n", 4, r"needs levels: run `emseg stats"),
        ("bad_sections: [1, two]\n", 4, r"bad_sections\.1 is 'two'"),
    ],
)
def test_a_wrong_value_is_one_line(tmp_path, text, line, says):
    """Each mistake gives one line: file and line, key, value, and what is allowed or meant."""
    with pytest.raises(ConfigError, match=rf"run\.yaml:{line}: .*{says}") as caught:
        loaded(tmp_path, SOUND + text)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("source: {layer: a}\n", r"run\.yaml: 'run' is missing; add it"),
        ("run: a\nsource: {layer: a}\naffinities: {layer: b}\n", r"one of them; given are source: and affinities:"),
        ("run: a\n", r"one of them; given is none"),
        ("run: a\nfragments: {layer: f}\n", r"fragments: needs affinities:"),
        ("run: a\naffinities: {layer: b}\nskip_blank: {}\n", r"skip_blank: needs source:"),
        ("run: a\nsource: {layer: a}\nfragments: {layer: b}\n", r"fragments: needs affinities:"),
        (
            "run: a\naffinities: {layer: a}\nfragments: {layer: b}\nstages: {fragment: {t_high: 0.9}}\n",
            r"t_high does nothing to given fragments",
        ),
    ],
)
def test_a_run_has_one_start(tmp_path, text, says):
    """A run directory is needed, and exactly one of image and affinities."""
    with pytest.raises(ConfigError, match=says) as caught:
        loaded(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_every_field_says_what_it_means():
    """Each leaf of the configuration has a description, from which the reference page is made."""

    def leaves(model, prefix=""):
        for name, field in model.model_fields.items():
            inner = field.annotation
            if hasattr(inner, "model_fields"):
                yield from leaves(inner, f"{prefix}{name}.")
            else:
                yield prefix + name, field.description

    assert [name for name, description in leaves(RunConfig) if not description] == []


@pytest.mark.parametrize(
    ("engine", "words"),
    [
        ("{kind: queue}", "kind: queue and queue:"),
        ("{queue: 'fq://q'}", "kind: queue and queue:"),
        ("{address: 'tcp://host:1'}", "give kind: dask with it"),
    ],
)
def test_a_key_of_another_engine_is_refused(tmp_path, engine, words):
    """Keys of an engine go with its kind: none is there to do nothing."""
    with pytest.raises(ConfigError, match=words):
        loaded(tmp_path, SOUND + f"engine: {engine}\n")


@pytest.mark.parametrize("engine", ["{kind: queue, queue: 'fq://q'}", "{kind: dask, address: 'tcp://host:1'}", "{}"])
def test_an_engine_with_its_own_keys_is_taken(tmp_path, engine):
    """Each kind is taken with what belongs to it."""
    assert loaded(tmp_path, SOUND + f"engine: {engine}\n").engine is not None
