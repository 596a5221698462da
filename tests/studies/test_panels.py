"""Panels: the legend stands beside what it explains, not on it."""

import itertools

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vlmad_jax.studies.panels import Panel, draw_panels, panels_size

LINES = {name: (0.5, 0.7, 0.6) for name in ("images", "pixels", "published")}
LEVELS = {"images, all sizes": 0.8, "pixels, all sizes": 0.9}


@pytest.mark.parametrize("count", [1, 2, 5, 16])
def test_the_legend_hides_no_title_and_no_panel(count: int) -> None:
    figure = Figure(figsize=panels_size(count))
    canvas = FigureCanvasAgg(figure)
    panels = [Panel(f"category {n}", "123", LINES, levels=LEVELS) for n in range(count)]
    draw_panels(figure, panels, "size", "AUROC")
    canvas.draw()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [*LINES, *LEVELS]
    boxes = [legend.get_window_extent(), *(axes.title.get_window_extent() for axes in figure.axes)]
    boxes += [axes.get_window_extent() for axes in figure.axes]
    assert not any(one.overlaps(other) for one, other in itertools.product(boxes[:1], boxes[1:]))
    assert figure.bbox.x0 <= boxes[0].x0
    assert boxes[0].x1 <= figure.bbox.x1
    assert boxes[0].y1 <= figure.bbox.y1
