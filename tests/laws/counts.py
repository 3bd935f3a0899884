"""How many random cases every law runs: EMSEG_LAW_CASES says it, 200 if nobody does; `make laws` runs 5,000.

Cases are numbered from 0 and go in parts, each a test of its own, so that processes share the work and a long run says
how far it is.
"""

from __future__ import annotations

import itertools
import os

import pytest

CASES = int(os.environ.get("EMSEG_LAW_CASES", "200"))
PARTS = 4 if CASES <= 1000 else 20
CONTROL_CASES = 400  # a broken rule must show within so many


def parts() -> list[range]:
    """The numbers of all cases, in parts."""
    bounds = [CASES * n // PARTS for n in range(PARTS + 1)]
    return [range(a, b) for a, b in itertools.pairwise(bounds) if a < b]


in_parts = pytest.mark.parametrize("seeds", parts(), ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")
