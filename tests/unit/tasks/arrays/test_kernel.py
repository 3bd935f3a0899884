"""Compiled kernels are cached by what they are made of."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from numba import config

from emseg.tasks.arrays import kernel as kernels
from emseg.tasks.arrays.rows import add

ARRAYS = Path(kernels.__file__).parent


def test_a_change_in_any_file_of_kernels_starts_a_new_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Numba itself would go on with old code when only a called function in another file changes."""
    other = tmp_path / "rows.py"
    other.write_text("@kernel\ndef add(a): return a\n")
    files = kernels.sources()
    monkeypatch.setattr(kernels, "sources", lambda: [*files[:-1], other])
    before = kernels._home()
    assert before == kernels._home()
    other.write_text("@kernel\ndef add(a): return a + 1\n")
    assert kernels._home() != before


def test_all_kernels_are_among_the_sources() -> None:
    """Every file that uses the decorator is digested, and the codes whose constants kernels freeze."""
    names = {path.name for path in kernels.sources()}
    assert {"rows.py", "contacts.py", "graph.py", "union.py", "codes.py"} <= names


def test_the_stitching_kernels_use_this_cache_and_leave_other_users_of_numba_alone() -> None:
    """A kernel's cache lies in our folder; numba's own setting is as it was."""
    assert Path(add.stats.cache_path).is_relative_to(kernels.HOME)
    assert config.CACHE_DIR == "" or not re.search("kernels-", str(config.CACHE_DIR))


def test_a_cache_that_cannot_be_written_is_never_replaced_by_one_without_a_digest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Numba would quietly cache beside the code, where old machine code survives an upgrade."""
    blocked = tmp_path / "file"
    blocked.touch()
    monkeypatch.setattr(config, "CACHE_DIR", str(blocked))
    home = kernels._home()
    assert home.is_dir()
    assert home.name.startswith("kernels-")
    assert not home.is_relative_to(blocked)
