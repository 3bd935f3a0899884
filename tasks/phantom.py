"""Make one chunk of the phantom: EM-like image and dense truth, or affinities straight from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from emseg.tasks.arrays.phantom import PhantomParams, phantom, phantom_affinities
from emseg.tasks.base import Task
from emseg.tasks.context import Context


@dataclass(frozen=True)
class Phantom(Task):
    """A function of seed and place alone -> layers.

    Attributes:
        params: what the tissue is like.
        image, labels, affinities: layers to write; '' for those not wanted.
    """

    kind: ClassVar[str] = "phantom"
    version: ClassVar[int] = 2

    params: PhantomParams
    image: str = ""
    labels: str = ""
    affinities: str = ""

    def execute(self, context: Context) -> None:
        """Generate and write the core."""
        if self.image or self.labels:
            image_ZYX, labels_ZYX = phantom(self.core, self.params)
            if self.image:
                context.layer(self.image).write(self.core, image_ZYX)
            if self.labels:
                context.layer(self.labels).write(self.core, labels_ZYX)
        if self.affinities:
            context.layer(self.affinities).write(self.core, phantom_affinities(self.core, self.params))
