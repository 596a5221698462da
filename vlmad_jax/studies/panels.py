"""Figures made of small panels, one for each category."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib.figure
import numpy as np

COLUMNS = 4
WIDTH, HEIGHT = 2.2, 1.7  # the size of a panel in inches
LEGEND_WIDTH, LEGEND_HEIGHT = 1.35, 0.16  # the size of an entry of the legend in inches


@dataclass(frozen=True)
class Panel:
    """A panel with lines.

    Attributes:
      title: The title.
      ticks: The names of the positions 0, 1, 2, ... from left to right.
      lines: The heights of each line at these positions, by its name; None leaves a gap.
      dots: The positions and heights of single points behind the lines, by the name of their line.
      levels: The heights of horizontal dashed lines by name, in the colours of `lines` in order.
    """

    title: str
    ticks: Sequence[str]
    lines: Mapping[str, Sequence[float | None]]
    dots: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    levels: Mapping[str, float | None] | None = None


def panels_size(count: int) -> tuple[float, float]:
    """Return the width and height in inches of a figure with this number of panels."""
    columns = min(COLUMNS, count)
    return max(4.0, WIDTH * columns), max(2.6, HEIGHT * math.ceil(count / COLUMNS) + 0.5)


def draw_panels(canvas: matplotlib.figure.Figure, panels: Sequence[Panel], x: str, y: str) -> None:
    """Draw panels on common axes, with one legend if there is more than one line."""
    grid = panel_grid(canvas, len(panels), shared=True)
    handles: dict[str, Any] = {}
    for number, (axes, panel) in enumerate(zip(grid, panels, strict=True)):
        positions = np.arange(len(panel.ticks))
        for name, points in panel.dots.items():
            color = "0.6" if len(panel.dots) == 1 else f"C{list(panel.lines).index(name)}"
            axes.plot(*zip(*points, strict=True), ".", color=color, markersize=3, zorder=1)
        for line, (name, heights) in enumerate(panel.lines.items()):
            values = np.array([np.nan if value is None else value for value in heights], float)
            style = {"color": f"C{line}", "marker": "o" if line == 0 else "s", "markersize": 3}
            handles[name] = axes.plot(positions, values, linewidth=1.2, **style)[0]
        for line, (name, height) in enumerate((panel.levels or {}).items()):
            if height is not None:
                handles[name] = axes.axhline(height, color=f"C{line}", linewidth=1, linestyle="--")
        axes.set_title(panel.title, fontsize=8)
        axes.set_xticks(positions, panel.ticks)
        # The lowest panel of each column has tick labels, even if it is not in the last row.
        axes.tick_params(labelsize=7, labelbottom=number + COLUMNS >= len(panels))
        axes.grid(alpha=0.3, linewidth=0.5)
    label_panels(canvas, x, y, handles)


def panel_grid(canvas: matplotlib.figure.Figure, count: int, shared: bool = False) -> list[Any]:
    """Return the axes of panels row by row, with or without shared scales.

    The margins in inches are the same for any number of panels. Computing them with matplotlib's layout
    engine would take longer than drawing.
    """
    canvas.set_layout_engine(None)
    width, height = canvas.get_size_inches()
    between = 0.35 if shared else 0.5
    canvas.subplots_adjust(0.6 / width, 0.45 / height, 1 - 0.1 / width, 1 - 0.5 / height, 0.15, between)
    columns = min(COLUMNS, count)
    grid = canvas.subplots(math.ceil(count / columns), columns, sharex=shared, sharey=shared, squeeze=False)
    for axes in grid.flat[count:]:
        axes.remove()
    return list(grid.flat[:count])


def label_panels(canvas: matplotlib.figure.Figure, x: str, y: str, handles: Mapping[str, Any]) -> None:
    """Label the common axes and, if there is more than one line, add a legend above the panels."""
    width, height = canvas.get_size_inches()
    if len(handles) > 1:  # above the panels and their titles, on as many lines as needed
        columns = max(1, min(len(handles), int(width / LEGEND_WIDTH)))
        room = 0.15 + LEGEND_HEIGHT * math.ceil(len(handles) / columns)
        canvas.subplots_adjust(top=1 - (room + 0.2) / height)
        canvas.legend(
            list(handles.values()),
            list(handles),
            loc="upper right",
            ncols=columns,
            fontsize=7,
            borderaxespad=0.2,
        )
    canvas.supxlabel(x, fontsize=8, y=0.05 / height, va="bottom")
    canvas.supylabel(y, fontsize=8, x=0.05 / width, ha="left")
