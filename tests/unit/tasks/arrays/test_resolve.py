"""Final ids on the way down, and applying them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from emseg.tasks.arrays.columns import U64
from emseg.tasks.arrays.forest import Down, Forest
from emseg.tasks.arrays.relabel import apply_table, lookup_tables
from emseg.tasks.arrays.resolve import resolve
from emseg.tasks.volume.errors import CorruptChunkError


def _ids(*values: int) -> U64:
    return np.array(values, np.uint64)


# two children; fragments 1, 4 and 7 became 1, which went up; 9 stayed. Clusters 1 -> 1 went up; 3, 4 -> 3; 9 -> 9
FOREST = replace(
    Forest.empty(),
    fragment_start=np.array([0, 2, 4]),
    fragment=_ids(1, 4, 7, 9),
    fragment_to=_ids(1, 1, 1, 9),
    fragment_open=np.array([1, 1, 1, 0], np.uint8),
    cluster_start=np.array([0, 3, 4]),
    cluster=_ids(1, 3, 4, 9),
    cluster_by_size=_ids(1, 3, 3, 9),
    cluster_to=_ids(1, 3, 3, 9),
    settled=_ids(3, 9),
    settled_voxels=_ids(50, 49),
)
DOWN = Down(_ids(1), _ids(0x77), _ids(1), _ids(0x66))


def test_each_child_gets_the_final_ids_of_its_own_handles() -> None:
    """What went up has the id from above, what is settled its own, and dust by global size is 0."""
    first, second = resolve(DOWN, FOREST, 50)
    assert first.fragment_id.tolist() == [0x77, 0x77]
    assert second.fragment_id.tolist() == [0x77, 9]
    assert (first.cluster.tolist(), first.segment_id.tolist()) == ([1, 3, 4], [0x66, 3, 3])
    assert (second.cluster.tolist(), second.segment_id.tolist()) == ([9], [0])
    assert resolve(DOWN, FOREST, 49)[1].segment_id.tolist() == [9]


@pytest.mark.parametrize("lost", ["fragment", "cluster"])
def test_an_answer_that_lacks_a_handle_is_refused(lost: str) -> None:
    """A parent that does not name what went up is not its parent."""
    names = ("fragment", "fragment_id") if lost == "fragment" else ("cluster", "segment_id")
    with pytest.raises(CorruptChunkError, match=f"{lost}s resolved above"):
        resolve(replace(DOWN, **dict.fromkeys(names, _ids())), FOREST, 0)


def test_labels_become_ids() -> None:
    """Background stays 0, label i takes the i-th final id, to the last bit."""
    big = 2**64 - 1
    down = Down(_ids(5, 8), _ids(5, big), _ids(5, 8), _ids(0, 5))
    labels = np.array([[[0, 1, 2, 2]]], np.uint32)
    by_fragment, by_segment = lookup_tables(down)
    assert apply_table(labels, by_fragment).ravel().tolist() == [0, 5, big, big]
    assert apply_table(labels, by_segment).ravel().tolist() == [0, 0, 5, 5]


def test_a_label_beyond_its_table_is_refused() -> None:
    """A label that its leaf never made means a torn or foreign chunk."""
    with pytest.raises(CorruptChunkError, match="label 3"):
        apply_table(np.array([[[3]]], np.uint32), _ids(0, 1, 2))
