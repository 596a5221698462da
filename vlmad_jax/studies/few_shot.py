"""Figures 3 and 4, and zero-shot against few-shot: WinCLIP by number of reference images."""

from __future__ import annotations

import functools
import statistics
from typing import Any

import matplotlib.figure
import numpy as np

from vlmad_jax.metrics.uncertainty import interval
from vlmad_jax.report.parts import Column, Figure, Table
from vlmad_jax.report.published import comparison, published
from vlmad_jax.studies.panels import Panel, draw_panels, panels_size
from vlmad_jax.studies.run import Level, Run, mean_resampled, readable_name, titles
from vlmad_jax.studies.runner import Runner
from vlmad_jax.studies.table_columns import (
    INTERVALS,
    LEVELS,
    Row,
    auroc_columns,
    auroc_values,
    mean,
    with_published,
)

MEAN = "mean"


def runs_by_shots(runner: Runner) -> dict[int, list[Run]]:
    """Return WinCLIP's runs by number of reference images, one run for each draw."""
    found = {0: [runner.winclip()]}
    if runner.has_references:
        for shots in runner.config.shots:
            found[shots] = [runner.winclip(shots=shots, seed=seed) for seed in runner.config.seeds]
    return found


def shots_table(runner: Runner) -> list[Table]:
    """Return the mean and deviation over draws for every category and number of reference images."""
    found = runs_by_shots(runner)
    rows = [
        _row(found, shots, category) for category in (*runner.dataset.categories, MEAN) for shots in found
    ]
    columns = [Column("category", "category"), Column("shots", "references"), Column("draws", "draws")]
    for level in LEVELS:
        columns += auroc_columns(f"{level}_auroc", level)
        columns.append(Column(f"{level}_auroc_deviation", "deviation", 3, level))
    note = (
        "Means and sample standard deviations over draws of reference images; a draw of 4 starts with the "
        "draw of 2. The deviation in the rows of the mean is that of each draw's mean over categories. "
        f"{INTERVALS} {_few(runner)}"
    )
    title = "WinCLIP by number of reference images"
    return [Table("shots", title, tuple(columns), tuple(rows), note, summary=len(found))]


def _few(runner: Runner) -> str:
    return "" if runner.has_references else "Zero-shot only: a category has too few normal training images."


def _row(found: dict[int, list[Run]], shots: int, category: str) -> Row:
    drawn = found[shots]
    row: Row = {"category": readable_name(category), "shots": shots, "draws": len(drawn)}
    for level in LEVELS:
        values = [auroc_of(run, level, category) for run in drawn]
        defined = [value for value in values if value is not None]
        places = drawn[0].categories if category == MEAN else (category,)
        row |= auroc_values(f"{level}_auroc", mean(values), interval(mean_resampled(drawn, level, places)))
        row[f"{level}_auroc_deviation"] = statistics.stdev(defined) if len(defined) > 1 else None
    return row


def auroc_of(run: Run, level: Level, category: str) -> float | None:
    """Return the AUROC of a category, or the mean over categories for `MEAN`."""
    metrics = run.mean if category == MEAN else run.metrics[category]
    return metrics[f"{level}_auroc"]


def figure(runner: Runner, name: str, level: Level) -> list[Figure]:
    """Return figure 3 or 4, the image or pixel AUROC by number of reference images.

    It has a panel for each category and for the mean.
    """
    found = runs_by_shots(runner)
    data: dict[str, Any] = {
        title: {
            "shots": list(found),
            "mean": [mean([auroc_of(run, level, category) for run in drawn]) for drawn in found.values()],
            "draws": [[auroc_of(run, level, category) for run in drawn] for drawn in found.values()],
        }
        for category, title in titles((MEAN, *runner.dataset.categories)).items()
    }
    published_aurocs = _published(runner, level)

    def draw(canvas: matplotlib.figure.Figure) -> None:
        panels = []
        for category, values in data.items():
            lines = {"ours": values["mean"]}
            places = list(range(len(values["shots"])))
            dots = [(place, y) for place in places for y in values["draws"][place] if y is not None]
            if category in published_aurocs:
                lines["published"] = [published_aurocs[category].get(shots) for shots in values["shots"]]
            panels.append(Panel(category, [str(x) for x in values["shots"]], lines, dots))
        draw_panels(canvas, panels, "reference images", f"{level} AUROC")

    note = (
        f"{level.capitalize()} AUROC of WinCLIP by number of reference images. Lines are means over draws, "
        "and dots are single draws. "
        + ("Published points are those in the comparison's text and tables. " if published_aurocs else "")
        + _few(runner)
    )
    title = f"Figure {name[-1]}. WinCLIP by number of reference images, {level}s"
    return [Figure(name, title, data, draw, note, panels_size(len(data)))]


def _published(runner: Runner, level: Level) -> dict[str, dict[int, float]]:
    """Return the published AUROCs by category: WinCLIP's means, and the comparison's zero-shot table."""
    if runner.config.dataset != "mvtec_ad":
        return {}
    place = LEVELS.index(level)
    found = {
        readable_name(name): {0: pair[place]} for name, pair in comparison()["winclip_zero_shot"].items()
    }
    means = {n: published("winclip", "mvtec_ad", n) for n in (0, *runner.config.shots)}
    found[MEAN] = {n: source[0]["mean"][f"{level}_auroc"] or np.nan for n, source in means.items() if source}
    if level == "image":
        found["tile"] |= {int(n): value for n, value in comparison()["few_shot_text"]["tile"].items()}
    return found


def gains(runner: Runner) -> list[Table]:
    """Return the gain in mean AUROC of each step to more reference images."""
    found = runs_by_shots(runner)
    steps = list(zip(list(found)[:-1], list(found)[1:], strict=True))
    rows: list[Row] = []
    for before, after in steps:
        row: Row = {"step": f"{before} to {after}"}
        for level in LEVELS:
            row |= _gain(found, before, after, level)
        first = runner.config.dataset == "mvtec_ad" and (before, after) == (0, 1)
        row["published"] = comparison()["few_shot_text"]["gain_of_the_first_shot"] if first else None
        rows.append(row)
    columns = [Column("step", "references")]
    for level in LEVELS:
        columns += [
            Column(f"{level}_gain", "gain", 3, level),
            Column(f"{level}_low", "from", 3, level),
            Column(f"{level}_high", "to", 3, level),
            Column(f"{level}_over_draws", "deviation over draws", 3, level),
            Column(f"{level}_over_categories", "deviation over categories", 3, level),
            Column(f"{level}_per_shot", "per reference", 3, level),
        ]
    columns.append(Column("published", "published gain", 3))
    note = (
        "The gain in mean AUROC on the same test images. The deviation over draws is that of the mean over "
        "categories, and the deviation over categories is that of the mean over draws. The gain per "
        f"reference is the gain divided by the number of reference images added. {INTERVALS}"
    )
    return [Table("gains", "Gains with more reference images", *with_published(columns, rows), note)]


def _gain(found: dict[int, list[Run]], before: int, after: int, level: Level) -> Row:
    earlier, later = found[before], found[after]
    pairs = list(zip(earlier * len(later) if len(earlier) == 1 else earlier, later, strict=True))
    categories = later[0].categories
    by_draw = [_difference(a, b, level, MEAN) for a, b in pairs]
    by_category = [mean([_difference(a, b, level, name) for a, b in pairs]) for name in categories]
    gain = mean(by_draw)
    resampled = mean_resampled(later, level, categories) - mean_resampled(earlier, level, categories)
    low, high = interval(resampled)
    return {
        f"{level}_gain": gain,
        f"{level}_low": low,
        f"{level}_high": high,
        f"{level}_over_draws": _deviation(by_draw),
        f"{level}_over_categories": _deviation(by_category),
        f"{level}_per_shot": None if gain is None else gain / (after - before),
    }


def _difference(before: Run, after: Run, level: Level, category: str) -> float | None:
    values = auroc_of(before, level, category), auroc_of(after, level, category)
    return None if values[0] is None or values[1] is None else values[1] - values[0]


def _deviation(values: list[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return statistics.stdev(defined) if len(defined) > 1 else None


figure3 = functools.partial(figure, name="figure3", level="image")
figure4 = functools.partial(figure, name="figure4", level="pixel")
