"""Small objects: put, create, get, list and delete behave alike on files and on S3."""

from __future__ import annotations

import errno
import gzip
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from emseg.tasks.volume.errors import CorruptChunkError, LayerError, LimitError, TransientError
from emseg.tasks.volume.objects import Objects, sha256

CREATORS, NAMES = 4, 30
CREATOR = """
import sys
from pathlib import Path
from emseg.tasks.volume.objects import Objects
objects, mine = Objects(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
print(*(n for n in range(int(sys.argv[3])) if objects.create(f"names/{n}", mine.encode() * 1000)))
"""


@pytest.fixture(params=["file", "s3"])
def objects(request, tmp_path) -> Objects:
    """Objects on this machine's disk, then on S3."""
    if request.param == "file":
        return Objects(str(tmp_path / "root"))
    return Objects(request.getfixturevalue("cloud").url + "/root")


@pytest.mark.parametrize("encoding", ["", "gzip", "zstd"])
def test_content_comes_back(objects, encoding):
    """An object comes back as it was put; the digest is that of the stored bytes."""
    digest = objects.put("a/b", b"content" * 99, encoding)
    stored = objects.get_stored("a/b")
    assert objects.get("a/b") == b"content" * 99
    assert (stored.encoding, stored.digest, sha256(stored.content)) == (encoding, digest, digest)


def test_the_same_put_stores_the_same_bytes(objects):
    """Two puts of one content have one digest."""
    assert objects.put("a", b"content", "gzip") == objects.put("b", b"content", "gzip")


def test_a_second_put_replaces_the_first(objects):
    """The last put wins."""
    objects.put("a", b"old")
    objects.put("a", b"new")
    assert objects.get("a") == b"new"


def test_an_absent_object_is_none(objects):
    """get gives None and exists is false where nothing was put; require refuses by name."""
    assert objects.get("a/b") is None
    assert not objects.exists("a/b")
    with pytest.raises(CorruptChunkError, match="root/a/b is missing"):
        objects.require("a/b")


def test_a_folder_is_no_object(objects):
    """The beginning of a key holds nothing of its own."""
    objects.put("a/b", b"content")
    assert objects.get("a") is None
    assert not objects.exists("a")


def test_create_writes_only_once(objects):
    """The first create says True and its content stays; the second says False."""
    assert objects.create("a/b", b"first")
    assert not objects.create("a/b", b"second")
    assert objects.get("a/b") == b"first"


@pytest.mark.parametrize("encoding", ["", "gzip", "zstd"])
def test_all_keys_below_a_folder_are_listed(objects, encoding):
    """list gives them bare of suffixes, in any order, and no key of a folder that starts alike."""
    for key in ("a/10", "a/2", "a/c/d", "ab/1", "b"):
        objects.put(key, b"content", encoding)
    assert sorted(objects.list("a")) == ["a/10", "a/2", "a/c/d"]
    assert sorted(objects.list()) == ["a/10", "a/2", "a/c/d", "ab/1", "b"]
    assert list(objects.list("none")) == []


def test_a_deleted_object_is_gone(objects):
    """delete removes an object however it is compressed, and does not mind an absent one."""
    objects.put("a", b"content", "gzip")
    objects.delete("a")
    objects.delete("a")
    assert objects.get("a") is None


def test_an_object_above_its_budget_is_refused(objects):
    """A stored object that would inflate past the budget is refused by name."""
    objects.put("a", bytes(1 << 20), "gzip")
    with pytest.raises(LimitError, match="root/a"):
        objects.get("a", 1 << 10)


def test_cloud_files_reads_what_is_put(objects):
    """An unmodified CloudFiles reads every encoding."""
    from cloudfiles import CloudFiles

    for encoding in ("", "gzip", "zstd"):
        objects.put(f"a{encoding}", b"content", encoding)
        assert CloudFiles(objects.url, progress=False).get(f"a{encoding}") == b"content"


def test_create_has_one_winner_among_processes(tmp_path):
    """Of four processes that create the same names at once, exactly one wins each name, whole."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    children = [
        subprocess.Popen([sys.executable, "-c", CREATOR, str(tmp_path), str(n), str(NAMES)], **pipes)
        for n in range(CREATORS)
    ]
    assert all(child.stdout.readline() == "ready\n" for child in children)
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    won = [(int(name), n) for n, child in enumerate(children) for name in child.communicate()[0].split()]
    assert sorted(name for name, _ in won) == list(range(NAMES))
    for name, mine in won:
        assert Objects(str(tmp_path)).get(f"names/{name}") == str(mine).encode() * 1000


def test_a_compressed_file_of_others_is_found(tmp_path):
    """On a disk an object may carry the suffix of its compression."""
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"content"))
    assert Objects(str(tmp_path)).get("a") == b"content"


def test_no_temporary_file_stays(tmp_path):
    """After puts and creates, won or lost, the folder holds the objects and nothing else."""
    objects = Objects(str(tmp_path))
    for _ in range(2):
        objects.put("a", b"content")
        objects.create("b", b"content")
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_temporary_files_are_not_listed(tmp_path):
    """What a killed writer left behind is no object."""
    (tmp_path / ".a.0123").write_bytes(b"part")
    assert list(Objects(str(tmp_path)).list()) == []


def test_a_place_that_is_no_folder_is_refused_for_good(tmp_path):
    """Where a name of the path is a file, no later attempt can write: the error is permanent and names the place."""
    (tmp_path / "a").write_bytes(b"file")
    with pytest.raises(LayerError, match="a/b: cannot be written"):
        Objects(str(tmp_path)).put("a/b", b"content")


def test_a_name_that_is_too_long_is_refused_for_good(tmp_path):
    """A key whose name no disk takes is refused when written, and read as absent or refused, never as a crash."""
    objects = Objects(str(tmp_path))
    with pytest.raises(LayerError, match="cannot be written"):
        objects.put("a" * 300, b"content")
    assert not objects.exists("a" * 300)
    with pytest.raises(LayerError, match="cannot be read"):
        objects.get("a" * 300)


@pytest.mark.parametrize("fails", ["write", "fsync", "rename"])
def test_a_failed_step_leaves_nothing(tmp_path, monkeypatch, fails):
    """An error while writing, syncing or renaming is temporary and leaves no file at all."""

    def broken(*args, **kwargs):
        raise OSError(28, "No space left on device")

    objects = Objects(str(tmp_path))
    target = {"write": "emseg.tasks.volume.objects._write_synced", "fsync": "os.fsync", "rename": "pathlib.Path.rename"}
    monkeypatch.setattr(target[fails], broken)
    with pytest.raises(TransientError, match="No space left on device") as caught:
        objects.put("a", b"content")
    assert caught.value.exit_code == 75
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("old", "new"), itertools.permutations(["", "gzip", "zstd"], 2))
def test_a_put_replaces_every_compression(objects, old, new):
    """The last put wins however either is compressed, and the key is listed once."""
    objects.put("a", b"old", old)
    objects.put("a", b"new", new)
    assert objects.get("a") == b"new"
    assert list(objects.list()) == ["a"]


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_create_sees_a_compressed_object(objects, encoding):
    """A key that holds a compressed object is not free."""
    objects.put("a", b"first", encoding)
    assert not objects.create("a", b"second")
    assert objects.get("a") == b"first"


def test_a_file_above_the_limit_is_not_read(tmp_path):
    """A file of terabytes is refused by its size, not by what it does to memory."""
    with open(tmp_path / "a", "wb") as file:
        file.truncate(1 << 42)
    with pytest.raises(LimitError, match="a: is stored in 4398046511104 bytes"):
        Objects(str(tmp_path)).get("a")


def test_content_of_just_the_budget_passes(objects):
    """What cannot be compressed, and so is stored in more bytes than it has, is read under its own budget."""
    content = os.urandom(1000)
    for encoding in ("", "gzip", "zstd"):
        objects.put(f"a{encoding}", content, encoding)
        assert objects.get(f"a{encoding}", 1000) == content


def test_new_folders_are_synced_into_their_parents(tmp_path, monkeypatch):
    """Every folder that a put makes is fsynced into the folder above it, so that a power cut loses none."""
    synced = []
    monkeypatch.setattr("emseg.tasks.volume.objects._sync_folder", lambda path: synced.append(path))
    objects = Objects(str(tmp_path / "root"))
    objects.put("a/b/c", b"content")
    root = tmp_path / "root"
    assert synced == [tmp_path, root, root / "a", root / "a" / "b"]
    synced.clear()
    objects.put("a/b/d", b"content")
    assert synced == [root / "a" / "b"]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        *[("ESTALE", TransientError), ("EIO", TransientError), ("EMFILE", TransientError)],
        *[("ETIMEDOUT", TransientError), ("EACCES", LayerError), ("ENAMETOOLONG", LayerError)],
    ],
)
def test_a_read_that_may_pass_is_temporary(tmp_path, monkeypatch, code, error):
    """A stale mount, a bad sector or too many open files may pass; what is forbidden stays forbidden."""

    def refused(path, limit_bytes):
        raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))

    monkeypatch.setattr("emseg.tasks.volume.objects._read", refused)
    with pytest.raises(error, match="a/b: cannot be read"):
        Objects(str(tmp_path)).get("a/b")


def test_a_removal_that_may_pass_is_temporary(tmp_path, monkeypatch):
    """A lost mount under delete() is trouble that may pass, and what is absent is no error."""

    def lost(path, missing_ok):
        raise OSError(errno.EIO, "Input/output error", str(path))

    Objects(str(tmp_path)).delete("absent")
    monkeypatch.setattr(Path, "unlink", lost)
    with pytest.raises(TransientError, match="cannot be removed"):
        Objects(str(tmp_path)).delete("a")


def test_a_folder_that_cannot_be_listed_is_not_taken_for_empty(tmp_path, monkeypatch):
    """A lost mount under list() is an error, an absent folder holds nothing."""

    def lost(path):
        raise OSError(errno.EIO, "Input/output error", str(path))

    assert list(Objects(str(tmp_path)).list("absent")) == []
    monkeypatch.setattr(os, "scandir", lost)
    with pytest.raises(TransientError, match="cannot be listed"):
        list(Objects(str(tmp_path)).list("a"))
