"""Calibration: the image score as a probability, and thresholds from normal images alone."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import matplotlib.figure
import numpy as np

from vlmad_jax.metrics.thresholds import (
    FALSE_ALARM_RATE,
    best_threshold,
    calibration_error,
    decisions,
    reliability,
    threshold_from_normal,
)
from vlmad_jax.report.parts import Column, Figure, Table
from vlmad_jax.studies.compared import compared, with_probabilities
from vlmad_jax.studies.method_runs import MethodRuns, count_of_references
from vlmad_jax.studies.run import Run, readable_name
from vlmad_jax.studies.runner import NORMAL_IMAGES, Runner
from vlmad_jax.studies.table_columns import Row, mean

NUMBERS = ("threshold", "false_alarms", "misses", "f1")


def runs_by_method(methods: Sequence[MethodRuns], normal: bool = False) -> dict[str, Run]:
    """Return the runs of methods on test images or on normal training images.

    Methods that may use reference images follow again, with the largest number of them.
    """
    found = {method.label: method.compared(normal) for method in methods}
    for method in methods:
        shots, seed = max(method.runner.config.shots), method.runner.config.seeds[0]
        if method.shots == 0 and shots in method.numbers:
            found[f"{method.title}, {count_of_references(shots)}"] = method.run(shots, seed, normal)
    return found


def reliabilities(runner: Runner) -> list[Figure]:
    """Return the share of anomalous images by image score, over all categories."""
    methods = with_probabilities(runner)
    data: dict[str, Any] = {}
    for name, run in runs_by_method(methods).items():
        scores = np.concatenate([run.scores(category) for category in run.categories])
        labels = np.concatenate([run.labels(category) for category in run.categories])
        bins = reliability(scores, labels)
        data[name] = {"bins": [vars(b) for b in bins], "calibration_error": calibration_error(bins)}

    note = (
        "Images of all categories in ten bins by image score; a larger dot stands for more images. A score "
        "that is a probability would lie on the dotted line. The error is the expected calibration error."
    )
    for method in compared(runner):
        if method not in methods:
            note += f" The scores of {method.title} are no probabilities and are not shown."
    draw = functools.partial(draw_reliability, data=data)
    return [Figure("reliability", "The image score as a probability", data, draw, note, (5.5, 4.5))]


def draw_reliability(canvas: matplotlib.figure.Figure, data: dict[str, Any]) -> None:
    """Draw a line through the bins of each method that has images."""
    axes = canvas.subplots()
    axes.plot([0, 1], [0, 1], linestyle=":", color="0.6", linewidth=1)
    for number, (name, values) in enumerate(data.items()):
        points = [(b["score"], b["defective"], b["count"]) for b in values["bins"] if b["count"]]
        if not points:
            continue
        x, y, counts = (np.array(part) for part in zip(*points, strict=True))
        label = f"{name} (error {values['calibration_error']:.3f})"
        axes.plot(x, y, "-", color=f"C{number}", linewidth=1.2, label=label)
        axes.scatter(x, y, s=8 + 60 * counts / counts.max(), color=f"C{number}")
    axes.set(xlabel="mean image score", ylabel="share of anomalous images", xlim=(0, 1), ylim=(0, 1))
    axes.grid(alpha=0.3, linewidth=0.5)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8)


def thresholds(runner: Runner) -> list[Table]:
    """Return, by method and category, the threshold from normal training images and the best possible one."""
    rows: list[Row] = []
    means: list[Row] = []
    normal = runs_by_method(compared(runner), normal=True)
    for name, run in runs_by_method(compared(runner)).items():
        of_method = [_row(name, category, run, normal[name]) for category in run.categories]
        rows += of_method
        keys = [key for key in of_method[0] if key.endswith(("false_alarms", "misses", "f1"))]
        total: Row = dict.fromkeys(of_method[0])
        total |= {key: mean([r[key] for r in of_method]) for key in keys}  # type: ignore[misc]
        means.append(total | {"method": name, "category": "mean"})
    columns = [Column("method", "method"), Column("category", "category"), Column("normal", "normal images")]
    for side, group in (("normal", "from normal training images"), ("best", "best on the test images")):
        columns += [
            Column(f"{side}_threshold", "threshold", 4, group),
            Column(f"{side}_false_alarms", "false alarms", 3, group),
            Column(f"{side}_misses", "misses", 3, group),
            Column(f"{side}_f1", "F1", 3, group),
        ]
    note = (
        f"The threshold from normal training images is the lowest of their scores that at most "
        f"{FALSE_ALARM_RATE:.0%} of them exceed, over at most {NORMAL_IMAGES} images of each category "
        "without the method's reference images. The best threshold has the highest F1 on the test images, so "
        "it is not known in practice. False alarms are shares of normal test images, and misses are shares "
        "of anomalous ones."
    )
    table = (*rows, *means)
    return [Table("thresholds", "Thresholds", tuple(columns), table, note, summary=len(means))]


def _row(name: str, category: str, run: Run, normal: Run) -> Row:
    scores, labels = run.scores(category), run.labels(category)
    known = normal.scores(category) if category in normal.categories else np.empty(0)
    row: Row = {"method": name, "category": readable_name(category), "normal": len(known)}
    chosen = vars(decisions(scores, labels, threshold_from_normal(known))) if len(known) else {}
    row |= {f"normal_{number}": chosen.get(number) for number in NUMBERS}
    best = decisions(scores, labels, best_threshold(scores, labels))
    return row | {f"best_{number}": getattr(best, number) for number in NUMBERS}
