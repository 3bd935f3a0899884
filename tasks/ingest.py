"""Copy one chunk of a volume in another format into a layer."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from emseg.tasks.base import Task
from emseg.tasks.context import Context
from emseg.tasks.volume.bbox import Vec
from emseg.tasks.volume.errors import LayerError
from emseg.tasks.volume.foreign import Foreign, open_foreign


@dataclass(frozen=True)
class Ingest(Task):
    """One chunk of a foreign volume -> a layer.

    Attributes:
        source: name, in the plan's layers, of the file.
        out: layer to write.
        origin: layer coordinates of the file's first voxel.
    """

    kind: ClassVar[str] = "ingest"

    source: str
    out: str
    origin: Vec

    def execute(self, context: Context) -> None:
        """Read a box of the file, write the core.

        Raises:
            LayerError: labels below 0, or the file is unreadable.
        """
        out = context.layer(self.out)
        foreign = _opened(context.url(self.source))
        with context.record.phase("read"):
            array_CZYX = foreign.read(self.core.shifted([-o for o in self.origin]))
        if np.issubdtype(array_CZYX.dtype, np.signedinteger) and array_CZYX.min() < 0:
            raise LayerError(f"{foreign.where}: has labels below 0 in {self.core}; ids are 0 or more")
        stored_CZYX = np.ascontiguousarray(array_CZYX, out.dtype)
        digest = hashlib.sha256(stored_CZYX.data).hexdigest()
        context.record.read(f"{self.source}/{self.core}", f"decoded:{digest}")
        with context.record.phase("write"):
            out.write(self.core, stored_CZYX)


@lru_cache(maxsize=4)
def _opened(name: str) -> Foreign:
    return open_foreign(name)
