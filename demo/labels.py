"""Labels beside the points of a plot, where they hide neither each other nor a point."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

# Half the width of a point's marker, and of the room about it in which a label would pass for its own.
MARKER_POINTS = 4.0
ROOM_POINTS = 8.0
DISTANCES_POINTS = (9, 14, 20, 28, 38, 50, 64, 80, 98, 120, 145)
# Beside the point reads best, then above and below it, then between.
DIRECTIONS_DEGREES = (0, 180, 90, 270, 45, 315, 135, 225, 160, 200, 20, 340)


@dataclass(frozen=True)
class Label:
    """What is written beside the point (x, y), in the axes' units."""

    text: str
    x: float
    y: float


def place_labels(axes: Axes, labels: list[Label], font_size: float = 8) -> None:
    """Tries places around each point, the nearest first. A thin line leads to those that are not close by.

    Call it when the limits and scales of the axes are final: it works in pixels.
    """
    canvas = axes.figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    renderer = canvas.get_renderer()  # type: ignore[no-untyped-call]
    pixels_per_point = axes.figure.dpi / 72
    inside = axes.get_window_extent(renderer)
    centers = axes.transData.transform([(label.x, label.y) for label in labels])
    taken: list[Bbox] = []
    for label, center in zip(labels, centers, strict=True):
        points = [
            square(other, (MARKER_POINTS if np.array_equal(other, center) else ROOM_POINTS) * pixels_per_point)
            for other in centers
        ]
        written = axes.annotate(
            label.text,
            (label.x, label.y),
            (0, 0),
            textcoords="offset points",
            fontsize=font_size,
            ha="center",
            va="center",
            arrowprops={"arrowstyle": "-", "color": "0.6", "lw": 0.5, "shrinkA": 0, "shrinkB": 3},
        )
        extent = written.get_window_extent(renderer)
        for offset in offsets(extent.width, extent.height, pixels_per_point):
            left, bottom = center + offset - np.array([extent.width, extent.height]) / 2
            box = Bbox.from_bounds(left, bottom, extent.width, extent.height)
            if within(box, inside) and not box.count_overlaps(taken + points):
                break
        written.set_position(tuple(offset / pixels_per_point))
        taken.append(box)


def offsets(width: float, height: float, pixels_per_point: float) -> Iterator[NDArray[np.float64]]:
    """From the point to the middle of a text of this size. All in pixels."""
    for distance, degrees in product(DISTANCES_POINTS, DIRECTIONS_DEGREES):
        direction = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
        # Text is wider than high: beside the point its near edge, not its middle, lies at the distance.
        yield direction * distance * pixels_per_point + np.round(direction, 3) * [width / 2, height / 4]


def square(center: NDArray[np.float64], half_width: float) -> Bbox:
    """The box about a point."""
    return Bbox.from_extents(*(center - half_width), *(center + half_width))


def within(box: Bbox, outer: Bbox) -> bool:
    """Whether the whole box lies inside the other."""
    return bool(outer.x0 <= box.x0 and box.x1 <= outer.x1 and outer.y0 <= box.y0 and box.y1 <= outer.y1)
