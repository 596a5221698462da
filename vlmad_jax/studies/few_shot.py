"""Figures 3 and 4, and gains: the methods that take reference images by the number of these."""

from __future__ import annotations

import functools
import itertools
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.figure

from vlmad_jax.methods import WinCLIP
from vlmad_jax.metrics.uncertainty import interval
from vlmad_jax.report.parts import Column, Figure, Table
from vlmad_jax.report.published import comparison, published
from vlmad_jax.studies.compared import titles_of, with_references
from vlmad_jax.studies.method_runs import MethodRuns
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


# The runs of a method by number of reference images, one for each draw.
ByShots = dict[int, list[Run]]
# Published AUROCs by category and number of reference images.
Aurocs = dict[str, dict[int, float]]


def shots_table(runner: Runner) -> list[Table]:
    """Return the mean and deviation over draws for every category and number of reference images."""
    methods = with_references(runner)
    found = [(method, method.by_shots()) for method in methods]
    rows = [
        {"category": readable_name(category), "method": method.title, **_values(runs, shots, category)}
        for category in (*runner.dataset.categories, MEAN)
        for method, runs in found
        for shots in runs
    ]
    columns = [Column("category", "category"), Column("method", "method")]
    columns += [Column("shots", "references"), Column("draws", "draws")]
    for level in LEVELS:
        columns += auroc_columns(f"{level}_auroc", level)
        columns.append(Column(f"{level}_auroc_deviation", "deviation", 3, level))
    note = (
        "Means and sample standard deviations over draws of reference images; a draw of 4 starts with the "
        "draw of 2. The deviation in the rows of the mean is that of each draw's mean over categories. "
        f"{INTERVALS} {_few(runner)}"
    )
    title = f"{titles_of(methods)} by number of reference images"
    summary = sum(len(runs) for _, runs in found)
    return [Table("shots", title, *with_method(methods, columns, rows), note, summary)]


def with_method(
    methods: Sequence[MethodRuns], columns: Sequence[Column], rows: Sequence[Row]
) -> tuple[tuple[Column, ...], tuple[Row, ...]]:
    """Return columns and rows, without those that name the method if there is only one."""
    if len(methods) > 1:
        return tuple(columns), tuple(rows)
    kept = tuple(column for column in columns if column.key != "method")
    return kept, tuple({key: value for key, value in row.items() if key != "method"} for row in rows)


def _few(runner: Runner) -> str:
    return "" if runner.has_references else "Zero-shot only: a category has too few normal training images."


def _values(found: ByShots, shots: int, category: str) -> Row:
    drawn = found[shots]
    row: Row = {"shots": shots, "draws": len(drawn)}
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
    methods = with_references(runner)
    found = {method.title: method.by_shots() for method in methods}
    data: dict[str, Any] = {
        title: {name: _plotted(runs, level, category) for name, runs in found.items()}
        for category, title in titles((MEAN, *runner.dataset.categories)).items()
    }
    known = {method.title: published_aurocs(method, level) for method in methods}

    def draw(canvas: matplotlib.figure.Figure) -> None:
        panels = [_panel(category, by_method, known) for category, by_method in data.items()]
        draw_panels(canvas, panels, "reference images", f"{level} AUROC")

    is_published = any(known.values())
    note = (
        f"{level.capitalize()} AUROC of {titles_of(methods)} by number of reference images. Lines are means "
        "over draws, and dots are single draws. "
        + ("Published points are those of the papers and of the comparison. " if is_published else "")
        + _few(runner)
    )
    title = f"Figure {name[-1]}. {titles_of(methods)} by number of reference images, {level}s"
    plotted = data if len(methods) > 1 else {key: next(iter(x.values())) for key, x in data.items()}
    return [Figure(name, title, plotted, draw, note, panels_size(len(data)))]


def _plotted(found: ByShots, level: Level, category: str) -> dict[str, Any]:
    draws = [[auroc_of(run, level, category) for run in drawn] for drawn in found.values()]
    return {"shots": list(found), "mean": list(map(mean, draws)), "draws": draws}


def _panel(category: str, by_method: Mapping[str, dict[str, Any]], published: Mapping[str, Aurocs]) -> Panel:
    """Return the panel of a category: a line for each method, and one for what was published of it."""
    places = sorted({shots for values in by_method.values() for shots in values["shots"]})
    alone = len(by_method) == 1
    lines: dict[str, list[float | None]] = {}
    dots: dict[str, list[tuple[float, float]]] = {}
    for method, values in by_method.items():
        name = "ours" if alone else method
        heights = dict(zip(values["shots"], values["mean"], strict=True))
        lines[name] = [heights.get(shots) for shots in places]
        if known := published[method].get(category):
            lines["published" if alone else f"{name}, published"] = [known.get(shots) for shots in places]
        drawn = zip(values["shots"], values["draws"], strict=True)
        points = [(float(places.index(shots)), y) for shots, ys in drawn for y in ys if y is not None]
        if points:
            dots[name] = points
    return Panel(category, list(map(str, places)), lines, dots)


def published_aurocs(method: MethodRuns, level: Level) -> Aurocs:
    """Return what was published: means, and for WinCLIP the comparison's figures for single categories."""
    if method.runner.config.dataset != "mvtec_ad":
        return {}
    place, key = LEVELS.index(level), f"{level}_auroc"
    by_category = comparison().get(f"{method.name}_zero_shot", {})
    found: Aurocs = {readable_name(name): {0: pair[place]} for name, pair in by_category.items()}
    sources = {shots: published(method.name, "mvtec_ad", shots) for shots in method.numbers}
    means = {shots: source[0]["mean"].get(key) for shots, source in sources.items() if source}
    found[MEAN] = {shots: value for shots, value in means.items() if value is not None}
    if level == "image" and method.name == WinCLIP.name:
        found["tile"] |= {int(n): value for n, value in comparison()["few_shot_text"]["tile"].items()}
    return {category: values for category, values in found.items() if values}


def gains(runner: Runner) -> list[Table]:
    """Return the gain in mean AUROC of each step to more reference images."""
    methods = with_references(runner)
    rows: list[Row] = []
    for method in methods:
        found = method.by_shots()
        for before, after in itertools.pairwise(found):
            row: Row = {"step": f"{before} to {after}", "method": method.title}
            for level in LEVELS:
                row |= _gain(found, before, after, level)
            row["published"] = _published_gain(method, before, after)
            rows.append(row)
    columns = [Column("step", "references"), Column("method", "method")]
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
    shown = with_published(*with_method(methods, columns, rows))
    return [Table("gains", "Gains with more reference images", *shown, note)]


def _published_gain(method: MethodRuns, before: int, after: int) -> float | None:
    """Return the gain that the comparison's text gives: that of WinCLIP's first reference image."""
    is_given = method.runner.config.dataset == "mvtec_ad" and method.name == WinCLIP.name
    is_given = is_given and (before, after) == (0, 1)
    return comparison()["few_shot_text"]["gain_of_the_first_shot"] if is_given else None


def _gain(found: ByShots, before: int, after: int, level: Level) -> Row:
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
