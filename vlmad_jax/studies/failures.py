"""Failure analysis: the worst images, the distribution of scores, and the places of false alarms."""

from __future__ import annotations

import matplotlib.figure
import numpy as np

from vlmad_jax.metrics.thresholds import best_threshold
from vlmad_jax.report.parts import Column, Exhibit, Figure, Gallery, Table
from vlmad_jax.studies.compared import compared
from vlmad_jax.studies.method_runs import MethodRuns
from vlmad_jax.studies.panels import label_panels, panel_grid, panels_size
from vlmad_jax.studies.run import ALARM_GRID, ALARM_QUANTILE, EXHIBITS, WORST, outcome, readable_name, titles
from vlmad_jax.studies.runner import Runner
from vlmad_jax.studies.table_columns import Row

THRESHOLD = "The threshold of each category is the one with the highest F1 on these images"


def worst(runner: Runner) -> list[Table]:
    """Return the worst false alarms and misses of each category."""
    rows: list[Row] = []
    for method in compared(runner):
        run = method.compared()
        for category in run.categories:
            scores, labels = run.scores(category), run.labels(category)
            threshold = best_threshold(scores, labels)
            wrong = (scores > threshold) != (labels == 1)
            margins = np.where(wrong, np.abs(scores - threshold), -1)
            for label in (0, 1):
                of_label = np.where(labels == label, margins, -1)
                for number in np.argsort(-of_label, kind="stable")[:WORST]:
                    if of_label[number] < 0:
                        break
                    row = run.rows[category][number]
                    rows.append(
                        {
                            "category": readable_name(category),
                            "method": method.label,
                            "outcome": outcome(label, not label),
                            "defect": readable_name(row.defect),
                            "score": float(scores[number]),
                            "threshold": threshold,
                            "image": row.path,
                        }
                    )
    columns = (
        Column("category", "category"),
        Column("method", "method"),
        Column("outcome", "outcome"),
        Column("defect", "defect"),
        Column("score", "score", 4),
        Column("threshold", "threshold", 4),
        Column("image", "image"),
    )
    note = f"{THRESHOLD}. The {WORST} false alarms and the {WORST} misses furthest from it are shown."
    return [Table("worst", "The worst false alarms and misses", columns, tuple(rows), note)]


def gallery(runner: Runner) -> list[Gallery]:
    """Return images with their heat maps and the outlines of their masks."""
    exhibits: list[Exhibit] = []
    for method in compared(runner):
        run = method.compared()
        for category in run.categories:
            exhibits += run.details.exhibits(category, method.label)
    note = (
        f"At most {EXHIBITS} images of each category and method: the {WORST} normal images with the highest "
        f"scores, the {WORST} anomalous images with the lowest, and others that are evenly spaced by score. "
        f"{THRESHOLD}. The heat maps of a category share one scale: black is its lowest score, pale yellow "
        "its highest. The outline is the labelled defect."
    )
    return [Gallery("gallery", "Images", tuple(exhibits), note)]


def distributions(runner: Runner) -> list[Figure]:
    """Return histograms of the scores of normal and anomalous images, one figure for each method."""
    return [_distribution(method) for method in compared(runner)]


def _distribution(method: MethodRuns) -> Figure:
    run = method.compared()
    data = {
        called: {
            kind: [float(x) for x in np.sort(run.scores(category)[run.labels(category) == label])]
            for label, kind in enumerate(("normal", "anomalous"))
        }
        for category, called in titles(run.categories).items()
    }

    def draw(canvas: matplotlib.figure.Figure) -> None:
        grid = panel_grid(canvas, len(data))
        for axes, (category, scores) in zip(grid, data.items(), strict=False):
            low = min(min(x, default=0.0) for x in scores.values())
            high = max(max(x, default=1.0) for x in scores.values())
            edges = np.linspace(low, high + 1e-9, 21)
            for number, (kind, values) in enumerate(scores.items()):
                axes.hist(values, edges, alpha=0.6, color=f"C{number}", label=kind)
            axes.set_title(category, fontsize=8)
            axes.tick_params(labelsize=6)
            axes.locator_params(axis="x", nbins=4)
        handles, kinds = grid[0].get_legend_handles_labels()
        label_panels(canvas, "image score", "images", dict(zip(kinds, handles, strict=True)))

    note = f"Image scores of {method.title}, {method.setting}, for normal and anomalous test images."
    name = f"scores_{method.name}"
    return Figure(name, f"Scores of {method.label}", data, draw, note, panels_size(len(data)))


def alarms(runner: Runner) -> list[Figure]:
    """Return maps of the places of false alarms in normal images, one figure for each method."""
    return [_alarms(method) for method in compared(runner)]


def _alarms(method: MethodRuns) -> Figure:
    run = method.compared()
    shares = {called: run.details.alarms(category) for category, called in titles(run.categories).items()}
    data = {
        name: [[None if np.isnan(x) else float(x) for x in row] for row in x] for name, x in shares.items()
    }

    def draw(canvas: matplotlib.figure.Figure) -> None:
        grid = panel_grid(canvas, len(shares))
        for axes, (category, share) in zip(grid, shares.items(), strict=False):
            axes.imshow(share, cmap="inferno", vmin=0, vmax=10 * (1 - ALARM_QUANTILE))
            axes.set_title(category, fontsize=8)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.grid(False)

    note = (
        f"The places of the {1 - ALARM_QUANTILE:.0%} highest pixels in the normal images of a category under "
        f"{method.label}. Each cell of the grid of {ALARM_GRID} x {ALARM_GRID} shows the share of its "
        "pixels: dark is none, and the brightest is ten times the share of an even spread, or more."
    )
    name = f"alarms_{method.name}"
    return Figure(name, f"Places of false alarms of {method.label}", data, draw, note, panels_size(len(data)))
