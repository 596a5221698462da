"""Tables 1 to 4, averages by group, and a test of the difference between the two methods."""

from __future__ import annotations

import functools

from vlmad_jax.metrics.uncertainty import delong, interval, mean_difference
from vlmad_jax.report.parts import Column, Table
from vlmad_jax.report.published import comparison, published
from vlmad_jax.studies.compared import compared
from vlmad_jax.studies.definitions import groups
from vlmad_jax.studies.method_runs import MethodRuns
from vlmad_jax.studies.run import Run, mean_resampled, readable_name
from vlmad_jax.studies.runner import Runner
from vlmad_jax.studies.table_columns import (
    INTERVALS,
    LEVELS,
    METRICS,
    Row,
    auroc_columns,
    auroc_values,
    category_values,
    mean,
    mean_values,
    metric_columns,
    with_published,
)


def by_category(runner: Runner, place: int) -> list[Table]:
    """Return table 1 or 3: every category, and the mean, of the method in a place."""
    method = compared(runner)[place]
    run = method.compared()
    published_aurocs = published_by_category(method)
    aupro = comparison()["category_aupro"].get(method.name, {}) if published_aurocs else {}
    rows: list[Row] = [
        {
            "category": readable_name(category),
            "images": len(run.rows[category]),
            **category_values(run, category),
            "published_image_auroc": published_aurocs.get(category, (None, None))[0],
            "published_pixel_auroc": published_aurocs.get(category, (None, None))[1],
            "published_pixel_aupro": aupro.get(category),
        }
        for category in run.categories
    ]
    means = comparison()[f"{method.name}_mean"] if published_aurocs else {}
    rows.append(
        {
            "category": "mean",
            "images": sum(len(run.rows[category]) for category in run.categories),
            **mean_values(run),
            **{f"published_{name}": means.get(name) for name in METRICS if name != "image_ap"},
        }
    )
    number = 2 * place + 1
    columns = (
        Column("category", "category"),
        Column("images", "images"),
        *metric_columns(),
        Column("published_image_auroc", "image AUROC", 3, "published"),
        Column("published_pixel_auroc", "pixel AUROC", 3, "published"),
        Column("published_pixel_aupro", "AUPRO", 3, "published"),
    )
    title = f"Table {number}. {method.title}, {method.setting}, by category"
    note = INTERVALS
    if published_aurocs:
        note += f"\n\nPublished: {comparison()['source']}; means over all 15 categories."
    return [Table(f"table{number}", title, *with_published(columns, rows), note, summary=1)]


def means(runner: Runner, place: int) -> list[Table]:
    """Return table 2 or 4: the means, beside all published means, of the method in a place."""
    method = compared(runner)[place]
    run = method.compared()
    sources = published(method.name, runner.config.dataset, method.shots)
    values = mean_values(run)
    rows: list[Row] = []
    for metric in METRICS:
        level, heading = metric.split("_")
        bounds = ("auroc" in metric and (values[f"{metric}_low"], values[f"{metric}_high"])) or (None, None)
        row: Row = {"metric": f"{level} {heading.upper()}", "ours": values[metric]}
        row |= {"low": bounds[0], "high": bounds[1]}
        row |= {f"published_{n}": source["mean"].get(metric) for n, source in enumerate(sources, 1)}
        rows.append(row)
    columns = (
        Column("metric", "metric"),
        Column("ours", "mean", 3, "ours"),
        Column("low", "from", 3, "ours"),
        Column("high", "to", 3, "ours"),
        *(Column(f"published_{n}", f"[{n}]", 3, "published") for n in range(1, len(sources) + 1)),
    )
    listed = "; ".join(f"[{n}] {source['source']}" for n, source in enumerate(sources, 1))
    number = 2 * place + 2
    title = f"Table {number}. {method.title}, {method.setting}, means over categories"
    images = sum(len(run.rows[category]) for category in run.categories)
    note = f"{images:,} test images. {INTERVALS}" + (f"\n\nPublished: {listed}." if listed else "")
    return [Table(f"table{number}", title, columns, tuple(rows), note)]


def by_group(runner: Runner) -> list[Table]:
    """Return the averages of both methods by group of objects."""
    is_published = any(published_by_category(method) for method in compared(runner))
    rows: list[Row] = []
    for group, members in groups(runner.config.dataset, runner.dataset.categories).items():
        for method in compared(runner):
            run, by_name = method.compared(), published_by_category(method)
            group_means = comparison()["group_means"][method.name].get(group) if by_name else None
            aurocs = [by_name.get(name) for name in members]
            row: Row = {"group": group, "method": method.label, "categories": len(members)}
            for place, level in enumerate(LEVELS):
                value = mean([run.metrics[name][f"{level}_auroc"] for name in members])
                row |= auroc_values(f"{level}_auroc", value, run.mean_interval(level, members))
                row[f"published_{level}"] = group_means[place] if group_means else None
                row[f"published_{level}_from_table"] = mean([x[place] if x else None for x in aurocs])
            rows.append(row)
    columns = [Column("group", "group"), Column("method", "method"), Column("categories", "categories")]
    for level in LEVELS:
        columns += auroc_columns(f"{level}_auroc", level)
        columns.append(Column(f"published_{level}", "published", 3, level))
        columns.append(Column(f"published_{level}_from_table", "published, from table", 3, level))
    note = f"Means of AUROC over the categories of a group. {INTERVALS}"
    if is_published:
        note += (
            '\n\n"Published" is the value in the comparison\'s text. "Published, from table" is the mean of '
            "the comparison's tables 1 and 3 over the same categories; the two sometimes differ."
        )
    return [Table("groups", "Averages by group of objects", *with_published(columns, rows), note)]


def published_by_category(method: MethodRuns) -> dict[str, tuple[float, float]]:
    """Return the comparison's image and pixel AUROC by category; {} for other methods or data sets."""
    is_mvtec = method.runner.config.dataset == "mvtec_ad"
    return comparison().get(f"{method.name}_zero_shot", {}) if is_mvtec else {}


def differences(runner: Runner) -> list[Table]:
    """Return the differences between the second method and the first with tests of significance."""
    first, second = compared(runner)
    runs = second.compared(), first.compared()
    rows: list[Row] = []
    found = []
    for category in runner.dataset.categories:
        a, b = (run.scores(category) for run in runs)
        difference = delong(a, b, runs[0].labels(category)) if len(a) == len(b) else None
        if difference is not None:
            found.append(difference)
        image = (difference.value, difference.p) if difference else (None, None)
        rows.append(_difference_row(readable_name(category), image, runs, (category,)))
    total = mean_difference(found) if found else None
    image = (total.value, total.p) if total else (None, None)
    rows.append(_difference_row("mean", image, runs, runner.dataset.categories))
    columns = (
        Column("category", "category"),
        Column("image_difference", "difference", 3, "image AUROC"),
        Column("image_p", "p, DeLong", 4, "image AUROC"),
        Column("image_low", "from", 3, "image AUROC"),
        Column("image_high", "to", 3, "image AUROC"),
        Column("pixel_difference", "difference", 3, "pixel AUROC"),
        Column("pixel_low", "from", 3, "pixel AUROC"),
        Column("pixel_high", "to", 3, "pixel AUROC"),
    )
    note = (
        f"The AUROC of {second.title}, {second.setting}, minus that of {first.title}, {first.setting}, on "
        "the same images. p is that of DeLong's two-sided paired test of no difference, not corrected for "
        "the number of categories. For the mean, categories are treated as independent. "
        f"{INTERVALS} Here the interval is that of the difference, with both methods on the same bootstrap "
        "sets."
    )
    title = f"{second.title} against {first.title}"
    return [Table("differences", title, columns, tuple(rows), note, summary=1)]


def _difference_row(
    name: str,
    image: tuple[float | None, float | None],
    runs: tuple[Run, Run],
    categories: tuple[str, ...],
) -> Row:
    row: Row = {"category": name, "image_difference": image[0], "image_p": image[1]}
    for level in LEVELS:
        first, second = (mean_resampled([run], level, categories) for run in runs)
        row[f"{level}_low"], row[f"{level}_high"] = interval(first - second)
    values = [[run.metrics[category]["pixel_auroc"] for category in categories] for run in runs]
    pairs = [a - b for a, b in zip(*values, strict=True) if a is not None and b is not None]
    return {**row, "pixel_difference": mean(pairs)}


table1 = functools.partial(by_category, place=0)
table2 = functools.partial(means, place=0)
table3 = functools.partial(by_category, place=1)
table4 = functools.partial(means, place=1)
