"""Training curves as a picture: one line a curve, by epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw

SIZE, MARGIN = (720, 400), 56
COLOURS = ((31, 119, 180), (214, 39, 40), (44, 160, 44))
Point = tuple[float, float]


def draw_curves(path: Path, curves: Mapping[str, Sequence[float]], title: str) -> None:
    """Write a PNG of curves that share an axis; values that are not finite are left out.

    Args:
        path: file.
        curves: name -> values, one an epoch.
        title: stands above.
    """
    picture = Image.new("RGB", SIZE, "white")
    pen = ImageDraw.Draw(picture)
    finite = [v for values in curves.values() for v in values if math.isfinite(v)] or [0.0]
    low, high = min(finite), max(finite)
    epochs = max(map(len, curves.values()), default=1)
    _frame(pen, title, (low, high), epochs)
    for number, (name, values) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = [_place(i, v, (low, high), epochs) for i, v in enumerate(values) if math.isfinite(v)]
        if len(points) > 1:
            pen.line(points, fill=colour, width=2)
        for x, y in points if len(points) == 1 else ():
            pen.ellipse((x - 2, y - 2, x + 2, y + 2), fill=colour)
        pen.text((SIZE[0] - 2.5 * MARGIN, MARGIN + 16 * number), name, fill=colour)
    picture.save(path)


def _place(epoch: int, value: float, limits: tuple[float, float], epochs: int) -> Point:
    width, height = SIZE[0] - 2 * MARGIN, SIZE[1] - 2 * MARGIN
    across = epoch / max(1, epochs - 1)
    up = (value - limits[0]) / ((limits[1] - limits[0]) or 1)
    return MARGIN + across * width, MARGIN + (1 - up) * height


def _frame(pen: ImageDraw.ImageDraw, title: str, limits: tuple[float, float], epochs: int) -> None:
    pen.rectangle((MARGIN, MARGIN, SIZE[0] - MARGIN, SIZE[1] - MARGIN), outline="black")
    pen.text((MARGIN, MARGIN // 3), title, fill="black")
    pen.text((4, MARGIN), f"{limits[1]:.4g}", fill="black")
    pen.text((4, SIZE[1] - MARGIN - 10), f"{limits[0]:.4g}", fill="black")
    pen.text((MARGIN, SIZE[1] - MARGIN + 6), f"epoch 1 to {epochs}", fill="black")
