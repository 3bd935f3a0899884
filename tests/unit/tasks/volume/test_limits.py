"""Budgets are checked before anything is allocated."""

from __future__ import annotations

import pytest

from emseg.tasks.volume.errors import LimitError
from emseg.tasks.volume.limits import ARRAY_BYTES, array_bytes, require_bytes


def test_what_fits_is_counted():
    """The bytes of an array are its voxels times the size of one."""
    assert array_bytes((3, 4, 5), 8) == 480


def test_what_does_not_fit_is_refused():
    """An array one voxel above the budget is refused with both numbers."""
    array_bytes((ARRAY_BYTES,), 1)
    with pytest.raises(LimitError, match=f"box needs {ARRAY_BYTES + 1} bytes, more than the {ARRAY_BYTES} allowed"):
        array_bytes((ARRAY_BYTES + 1,), 1, "box")


def test_the_budget_itself_is_allowed():
    """Exactly the budget passes."""
    require_bytes("table", 10, 10)
    with pytest.raises(LimitError):
        require_bytes("table", 11, 10)
