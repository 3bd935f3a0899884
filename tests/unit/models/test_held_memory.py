"""Memory held between windows: results are the same, and the pages go back at the end."""

import platform
import resource

import pytest
import torch

from emseg.models.held_memory import held_memory

BLOCK = 48 << 20  # glibc maps blocks above this size itself, however often it sees them


def faults(rounds=20):
    """Pages that the kernel had to bring in while large blocks came and went."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for number in range(rounds):
        assert int(torch.full((BLOCK,), number, dtype=torch.uint8)[-1]) == number
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_large_blocks_are_reused_inside_and_given_back_at_the_end():
    """Twenty blocks cost the pages of few; outside, and after an error inside, those of twenty again."""
    outside = faults()
    with held_memory():
        faults()  # until the heap has settled
        inside = faults()
    assert inside < outside / 2
    with pytest.raises(ZeroDivisionError), held_memory():
        1 // 0  # noqa: B018
    assert faults() > inside
