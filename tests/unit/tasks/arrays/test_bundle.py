"""Several records as one table, and mail sent by address."""

from __future__ import annotations

import numpy as np
import pytest

from emseg.tasks.arrays.mail import Edges, Mail, Notes, gathered, mail, owner, posted
from emseg.tasks.arrays.round_state import Phase, State, state_in
from emseg.tasks.volume.errors import CorruptChunkError


def _letter() -> Mail:
    ids = np.arange(1, 100, dtype=np.uint64)
    return mail(edges=Edges(ids, ids + np.uint64(1)), notes=Notes(ids[:7], ids[:7], ids[:7]))


def test_a_bundle_survives_its_table() -> None:
    """Columns go out as `<record>.<column>` and come back the same."""
    letter = _letter()
    again = Mail.of(letter.columns())
    assert "edges.at" in letter.columns()
    assert all(np.array_equal(array, letter.columns()[name]) for name, array in again.columns().items())
    assert letter
    assert not Mail.empty()


def test_a_bundle_that_lacks_a_column_is_refused() -> None:
    """The message names the record and the column."""
    table = {name: array for name, array in _letter().columns().items() if name != "notes.new"}
    with pytest.raises(CorruptChunkError, match=r"notes of new names: column new is absent"):
        Mail.of(table)


def test_mail_goes_to_the_owner() -> None:
    """Every record arrives once, at the partition that owns its address."""
    letters = posted(_letter(), 4)
    for partition, letter in enumerate(letters):
        assert (owner(letter.edges.at, 4) == partition).all()
    assert sorted(gathered(letters).edges.at.tolist()) == list(range(1, 100))


def test_a_state_knows_its_phase() -> None:
    """The phase is stored as a column."""
    state = State(**{**vars(State.empty()), "next": state_in(Phase.JUMP)})
    assert State.of(state.columns()).phase == Phase.JUMP
