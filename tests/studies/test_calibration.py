"""The reliability diagram."""

import matplotlib.figure
import numpy as np

from vlmad_jax.metrics.thresholds import calibration_error, reliability
from vlmad_jax.studies.calibration import draw_reliability


def line_of(scores: list[float], labels: list[int]) -> dict:
    bins = reliability(np.array(scores), np.array(labels))
    return {"bins": [vars(b) for b in bins], "calibration_error": calibration_error(bins)}


def test_a_method_without_images_has_no_line():
    canvas = matplotlib.figure.Figure()
    draw_reliability(canvas, {"none": line_of([], []), "some": line_of([0.25, 0.95], [0, 1])})
    (axes,) = canvas.axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["some (error 0.150)"]
    assert axes.lines[1].get_xydata().tolist() == [[0.25, 0], [0.95, 1]]

    canvas = matplotlib.figure.Figure()
    draw_reliability(canvas, {"none": line_of([], [])})
    assert canvas.axes[0].get_legend() is None
