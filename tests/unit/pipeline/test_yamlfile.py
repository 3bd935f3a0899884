"""YAML files: precedence, extension, variables, and errors that name the place."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from emseg.pipeline.config import RunConfig
from emseg.pipeline.yamlfile import MAX_EXTENDS, load_yaml, variables_of
from emseg.tasks.volume.errors import ConfigError


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    a: int = 1
    b: str = "default"


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    inner: Inner = Inner()
    top: int = 0


def loaded(tmp_path: Path, text: str, *sets: str, **options) -> Outer:
    (tmp_path / "a.yaml").write_text(text)
    return load_yaml(Outer, tmp_path / "a.yaml", sets, **options)


def test_later_sources_win_key_by_key(tmp_path):
    """Defaults, the extended file, the file and --set override each other in this order, each key alone."""
    (tmp_path / "base.yaml").write_text("inner: {a: 2, b: base}\ntop: 2\n")
    out = loaded(tmp_path, "extends: base.yaml\ninner: {b: file}\n", "top=4", defaults={"inner": {"a": 9}, "top": 9})
    assert (out.inner.a, out.inner.b, out.top) == (2, "file", 4)


def test_an_extended_file_is_found_beside_the_file(tmp_path, monkeypatch):
    """`extends` is relative to the file that says it, wherever the command runs."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "base.yaml").write_text("top: 5\n")
    monkeypatch.chdir("/")
    assert loaded(tmp_path, "extends: sub/base.yaml\n").top == 5


def test_an_error_in_an_extended_file_names_that_file(tmp_path):
    """The line of an error is that of the file in which the value stands."""
    (tmp_path / "base.yaml").write_text("top: 1\ninner:\n  a: one\n")
    with pytest.raises(ConfigError, match=r"base\.yaml:3: inner\.a is 'one'"):
        loaded(tmp_path, "extends: base.yaml\n")


def test_a_circle_of_extensions_ends(tmp_path):
    """A file that extends itself is refused, not followed for ever."""
    with pytest.raises(ConfigError, match=f"at most {MAX_EXTENDS} deep"):
        loaded(tmp_path, "extends: a.yaml\n")


@pytest.mark.parametrize("base", ["3", "[a]", "absent.yaml"])
def test_extends_names_a_file(tmp_path, base):
    """Anything but the name of a readable file is refused."""
    with pytest.raises(ConfigError, match=r"extends|cannot be read"):
        loaded(tmp_path, f"extends: {base}\n")


@pytest.mark.parametrize("text", ["inner", "inner.a", "=1", ".a=1", "inner..a=1", ""])
def test_a_malformed_set_is_refused(tmp_path, text):
    """--set without a name or a value is refused with an example."""
    with pytest.raises(ConfigError, match="write it as"):
        loaded(tmp_path, "{}", text)


def test_an_error_in_a_set_names_it(tmp_path):
    """A wrong value of --set is named with the whole argument."""
    with pytest.raises(ConfigError, match=r"--set inner\.a=x: inner\.a is 'x'"):
        loaded(tmp_path, "{}", "inner.a=x")
    with pytest.raises(ConfigError, match=r"--set inner\.c=1: unknown key 'inner\.c'"):
        loaded(tmp_path, "{}", "inner.c=1")
    with pytest.raises(ConfigError, match="is not YAML"):
        loaded(tmp_path, "{}", "inner.a=[1")
    with pytest.raises(ConfigError, match=r"is not YAML \(month must be in 1\.\.12\)"):
        loaded(tmp_path, "{}", "inner.b=2024-13-45")
    with pytest.raises(ConfigError, match="is not YAML"):
        loaded(tmp_path, "{}", "inner.b=" + "[" * 100_000)


def test_an_unknown_key_in_a_list_is_named(tmp_path):
    """A key that an item of a list does not know is named with its place in the list and the nearest known one."""

    class Listed(BaseModel):
        model_config = ConfigDict(extra="forbid")
        items: tuple[Inner, ...] = ()

    (tmp_path / "a.yaml").write_text("items:\n  - {a: 1}\n  - {a: 1, bb: x}\n")
    with pytest.raises(ConfigError, match=r"unknown key 'items\.1\.bb'; did you mean 'b'"):
        load_yaml(Listed, tmp_path / "a.yaml")


def test_variables_are_filled_in(tmp_path, monkeypatch):
    """${NAME} is the environment's, ${NAME:-default} has a default, and a missing one is named."""
    monkeypatch.setenv("EMSEG_TEST", "there")
    monkeypatch.delenv("EMSEG_ABSENT", raising=False)
    assert loaded(tmp_path, "inner: {b: 'x/${EMSEG_TEST}/${EMSEG_ABSENT:-here}'}\n").inner.b == "x/there/here"
    with pytest.raises(ConfigError, match=r"\$\{EMSEG_ABSENT\} is not set"):
        loaded(tmp_path, "inner: {b: '${EMSEG_ABSENT}'}\n")


@pytest.mark.parametrize(
    "content",
    [
        b"a: [1",
        b"\xff\xfe",
        b"- 1",
        b"text",
        b"",
        b"a: b: c",
        b"a: &x [*x]",
        b"!!python/object/apply:os.getcwd []",
        b"\t- a",
    ],
)
def test_what_is_no_configuration_is_refused(tmp_path, content):
    """A file that is not YAML, not text or not keys and values is refused by name, in one line; nothing in it runs."""
    (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"a\.yaml") as caught:
        load_yaml(Outer, tmp_path / "a.yaml")
    assert "\n" not in str(caught.value)


def test_an_absent_file_is_named(tmp_path):
    """A file that is not there, or is a folder, is refused by name."""
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read"):
            load_yaml(Outer, path)


@given(text=st.text(max_size=60))
def test_no_text_is_fatal(tmp_path_factory, text):
    """Whatever the text, it is a configuration or a ConfigError."""
    path = tmp_path_factory.getbasetemp() / "fuzzed.yaml"
    path.write_text(text, errors="replace")
    with contextlib.suppress(ConfigError):
        assert isinstance(load_yaml(Outer, path), Outer)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("run: r\nsource: my/raw\n", "source is 'my/raw': it needs keys of its own: layer, mip, missing"),
        ("run: r\nsource: {layer: a}\nlayers: {chunk_vx: 64}\n", r"layers.chunk_vx is 64: write a list, such as"),
        ("run: r\nsource: {layer: a}\nstages: {merge: {threshold: high}}\n", "write a number, such as 0.5"),
    ],
)
def test_a_value_of_another_form_is_said_in_plain_words(tmp_path: Path, text: str, words: str) -> None:
    """No talk of dictionaries, tuples and decimals."""
    file = tmp_path / "run.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_yaml(RunConfig, file)


def test_a_value_is_traced_to_its_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in the file that is extended and inside lists; what was written out comes from none."""
    monkeypatch.setenv("PLACE", "here")
    (tmp_path / "base.yaml").write_text('parts: [{b: "${PLACE}/x"}]\n')
    path = tmp_path / "f.yaml"
    path.write_text('extends: base.yaml\ninner: {b: "${ABSENT:-there}/x"}\nplain: here/y\n')
    assert [variables_of(path, name) for name in ("here/x", "there/x", "here/y")] == [["PLACE"], ["ABSENT"], []]
