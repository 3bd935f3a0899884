"""Histograms of the weights of contact rows: what a quantile linkage needs of a contact.

A weight stands in one of 256 bins, bin = weight >> 8, and a bin counts as the weight 257 * bin, which lies in it: the
weight of a linear 8-bit code, so that the quantiles of an 8-bit layer are those of its own codes. With n edges and q
percent the score is the bin of the edge of rank q * n // 100, counted from 0 at the least. Only bins with edges are
kept. Bins below the one that passes a run's threshold count as bin 0: a score there fails in any case, and one that
passes does not change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np

from emseg.tasks.arrays.columns import I64, U8, U16, U32, Columns
from emseg.tasks.arrays.kernel import kernel
from emseg.tasks.volume.errors import CorruptChunkError


@dataclass(frozen=True)
class WeightBins(Columns):
    """Histograms of rows, one after another.

    length: how many bins of each row have edges, 1 to 256. bin, count: these bins, ascending within a row, and how
    many edges each has.
    """

    noun: ClassVar[str] = "histograms of contact rows"

    length: Annotated[U16, "row"]
    bin: Annotated[U8, "entry"]
    count: Annotated[U32, "entry"]

    def taken(self, order: I64) -> WeightBins:
        """Those of some rows, in this order."""
        return WeightBins(*_taken(self.length, self.bin, self.count, order))

    def require(self, rows: int) -> None:
        """Refuse what are no histograms of so many rows.

        Raises:
            CorruptChunkError: another number of rows, a row without edges, or bins that do not rise.
        """
        if len(self.length) != rows or int(self.length.sum()) != len(self.bin) or not self._rise():
            raise CorruptChunkError(f"{self.noun}: they are not those of {rows} rows; run the task again")

    def _rise(self) -> bool:
        """Whether every row has a bin, every bin an edge, and bins rise within a row."""
        if not len(self.length) or not self.length.all():
            return not len(self.length)
        first = np.zeros(len(self.bin), bool)
        first[np.cumsum(self.length[:-1], dtype=np.int64)] = True
        first[:1] = True
        return bool(self.count.all() and (first[1:] | (self.bin[1:] > self.bin[:-1])).all())


@kernel
def _taken(length: Any, bins: Any, count: Any, order: Any) -> Any:
    start, total = np.empty(len(length), np.int64), np.int64(0)
    for r in range(len(length)):
        start[r] = total
        total += length[r]
    total = np.int64(0)
    for r in order:
        total += length[r]
    lengths, out_bin, out_count = np.empty(len(order), np.uint16), np.empty(total, np.uint8), np.empty(total, np.uint32)
    put = np.int64(0)
    for i in range(len(order)):
        r = order[i]
        n = np.int64(length[r])
        lengths[i] = n
        out_bin[put : put + n] = bins[start[r] : start[r] + n]
        out_count[put : put + n] = count[start[r] : start[r] + n]
        put += n
    return lengths, out_bin, out_count
