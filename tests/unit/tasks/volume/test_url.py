"""Keys and URLs are confined to their roots; secrets never reach a message."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emseg.tasks.volume.errors import ConfigError
from emseg.tasks.volume.objects import Objects
from emseg.tasks.volume.url import canonical_url, is_below, joined_url, local_path, redacted, require_key

CRAFTED_KEYS = [
    *[
        "",
        "/",
        "//",
        ".",
        "..",
        "./a",
        "../a",
        "a/..",
        "a/../b",
        "a/./b",
        "a//b",
        "a/",
        "/a",
        "/etc/passwd",
        "~",
        "~/a",
    ],
    *["a/../../b", "a/b/../../../c", "..%2fa", "%2e%2e/a", "a%2f..%2fb", "..\\a", "a\\..\\b", "C:\\a", "\\\\host\\a"],
    *[
        "a\0",
        "\0",
        "a\n",
        "\na",
        "a\r",
        "a\tb",
        " a",
        "a ",
        "a b",
        "a;b",
        "a|b",
        "a&b",
        "$(a)",
        "`a`",
        "a*",
        "a?b",
        "a#b",
    ],
    *[
        "file:///etc/passwd",
        "s3://b/a",
        "http://h/a",
        "-a",
        ".hidden",
        "a/.hidden",
        "a/.staging/b",
        ".a.0f",
        "{a}",
        "a'b",
    ],
]
GOOD_KEYS = [
    *["info", "a", "0", "plan.json", "8_8_8/0-64_0-64_0-64", "receipts/fragment/L0/0_1_2.json", "tables/a-b.c=d,e@f+g"],
    "8.5_8_40/-64-0_0-64_-8-0",
]
REFUSED_URLS = [
    *["", " ", "/", "precomputed://", "http://h/a", "https://h/a", "ftp://h/a", "data://x", "gopher://h", "ssh://h/a"],
    *[
        "matrix://b/a",
        "mem://a",
        "middleauth+https://h/a",
        "graphene://https://h/a",
        "zarr://s3://b",
        "n5://x",
        "boss://x",
    ],
    *[
        "s3://b/../c",
        "s3://b/a/..",
        "s3://../a",
        "gs://b/../../c",
        "gs://..",
        "file:///a/../b",
        "file://../a",
        "s3://..",
    ],
    *[
        "s3://b/a\\..\\c",
        "gs://b\\a",
        "file:///a\0b",
        "s3://b/\0",
        "gs://b/a\0",
        "file:///a\\b",
        "javascript://a",
        "FILE:///a",
    ],
    *["S3://b/a", "s3 ://b/a", "://a", "precomputed://http://h/a", "precomputed://s3://b/../c", "tcp://h:1", "sqs://q"],
    *["fq:///tmp/q", "git://h/a", "precomputed://precomputed://s3://b"],
]


def test_there_are_enough_crafted_names():
    """At least 50 keys and 40 URLs are tried, each once."""
    assert len(set(CRAFTED_KEYS)) >= 50
    assert len(set(REFUSED_URLS)) >= 40


@pytest.mark.parametrize("key", CRAFTED_KEYS)
def test_crafted_keys_are_refused(tmp_path, key):
    """No crafted key reads or writes anything, inside or outside the root."""
    outside = tmp_path / "a"
    outside.write_text("secret")
    objects = Objects(str(tmp_path / "root" / "deep"))
    for act in (
        objects.get,
        objects.exists,
        objects.delete,
        lambda k: objects.put(k, b""),
        lambda k: objects.create(k, b""),
    ):
        with pytest.raises(ConfigError, match="not allowed"):
            act(key)
    assert outside.read_text() == "secret"
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a"]


@pytest.mark.parametrize("key", GOOD_KEYS)
def test_keys_that_emseg_writes_are_allowed(key):
    """Every kind of key that emseg itself makes passes."""
    assert require_key(key) == key


@given(st.text(max_size=30))
def test_an_allowed_key_stays_below_its_root(key):
    """Whatever key is allowed, its path resolved lies strictly below the root."""
    try:
        require_key(key)
    except ConfigError:
        return
    root = Path("/root/of/objects")
    assert root in (root / key).resolve().parents


@pytest.mark.parametrize("url", REFUSED_URLS)
def test_crafted_urls_are_refused(url):
    """A scheme that is not file, s3 or gs, or a path that climbs, opens nothing."""
    with pytest.raises(ConfigError):
        canonical_url(url)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("/data/em", "file:///data/em"),
        ("/data/em/", "file:///data/em"),
        ("/data/./x/../em", "file:///data/em"),
        ("file:///data/em", "file:///data/em"),
        ("precomputed://file:///data/em", "file:///data/em"),
        ("s3://bucket/em/v1/", "s3://bucket/em/v1"),
        ("precomputed://gs://bucket/em", "gs://bucket/em"),
        ("  gs://bucket/em\n", "gs://bucket/em"),
    ],
)
def test_one_place_has_one_url(text, url):
    """Paths, trailing slashes and the precomputed prefix come to one form, which is its own."""
    assert canonical_url(text) == url == canonical_url(url)


def test_a_relative_path_is_absolute_at_once(tmp_path, monkeypatch):
    """A bare name means a folder below the present one, and stays so after a change of folder."""
    monkeypatch.chdir(tmp_path)
    assert canonical_url("em") == f"file://{tmp_path}/em"


def test_a_link_is_followed_before_a_root_is_compared(tmp_path):
    """A URL through a symbolic link is that of the folder it leads to, so that a root cannot be left through it."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "elsewhere")
    assert not is_below(canonical_url(str(tmp_path / "root" / "link")), canonical_url(str(tmp_path / "root")))


@pytest.mark.parametrize(
    ("url", "below"),
    [("s3://b/a", True), ("s3://b/a/c", True), ("s3://b/ab", False), ("s3://b", False), ("gs://b/a/c", False)],
)
def test_below_means_whole_names(url, below):
    """A name that merely starts like the root is not below it."""
    assert is_below(url, "s3://b/a") == below


def test_joining_checks_every_part():
    """Parts are joined by slashes; one that climbs is refused."""
    assert joined_url("s3://b/run/", "layers", "affinities") == "s3://b/run/layers/affinities"
    with pytest.raises(ConfigError):
        joined_url("s3://b/run", "..", "other")


def test_only_file_urls_have_paths():
    """A file URL has a path on this machine, others have none."""
    assert local_path("file:///data/em") == Path("/data/em")
    assert local_path("s3://b/em") is None


@pytest.mark.parametrize(
    "url",
    ["s3://KEY:SECRET@b/a", "https://h/a?X-Signature=SECRET", "https://h/a#SECRET", "s3://SECRET@b/a?token=SECRET"],
)
def test_secrets_are_redacted(url):
    """User info, query and fragment never show."""
    assert "SECRET" not in redacted(url)
    assert redacted(url).endswith("/a")


def test_a_refused_url_shows_no_secret():
    """The message that refuses a URL is redacted too."""
    with pytest.raises(ConfigError) as caught:
        canonical_url("https://user:SECRET@host/a?token=SECRET")
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://[::1", "//[", "http://a]b/"])
def test_what_cannot_be_parsed_can_be_redacted(url):
    """A URL that no parser takes is still fit for a log."""
    assert redacted(url)


@pytest.mark.parametrize("key", ["a\u0660", "stats/\u0660_0_0", "a/\u00e9", "a\u00b2"])
def test_a_key_is_plain_ascii(key):
    """Letters and digits of other scripts, which look or count like plain ones, are refused."""
    with pytest.raises(ConfigError, match="not allowed"):
        require_key(key)


@pytest.mark.parametrize("text", ["s3:/bucket/a", "gs:/a", "file:/a", "precomputed://s3:/bucket/a", "S3:/b", "n5+x:/a"])
def test_half_a_url_is_no_path(text):
    """A scheme with one slash is a slip, not a folder below this one."""
    with pytest.raises(ConfigError, match="half a URL"):
        canonical_url(text)


@pytest.mark.parametrize("text", ["s3:///a", "s3://b//a", "gs://b/./a", "s3://b/a/.", "s3://./a"])
def test_a_segment_of_a_bucket_s_path_has_a_name(text):
    """An empty or '.' segment would be another object than the one that is meant."""
    with pytest.raises(ConfigError, match="segment"):
        canonical_url(text)


@pytest.mark.parametrize("text", ["a:b", "./s3:/a", "data/s3:/a"])
def test_a_path_may_hold_a_colon(text):
    """A colon elsewhere is part of a path."""
    assert canonical_url(text).startswith("file:///")
