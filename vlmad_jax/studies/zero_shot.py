"""Tables 1 to 4 and the averages by group: WinCLIP and AnomalyCLIP, zero-shot, by category and in mean."""

from __future__ import annotations

import functools

from vlmad_jax.metrics.uncertainty import delong, interval, mean_difference
from vlmad_jax.report.parts import Column, Table
from vlmad_jax.report.published import comparison, published
from vlmad_jax.studies.definitions import groups
from vlmad_jax.studies.run import Run, mean_resampled, readable_name
from vlmad_jax.studies.runner import Runner
from vlmad_jax.studies.table_columns import (
    INTERVALS,
    LEVELS,
    METRICS,
    Row,
    auroc_cells,
    auroc_columns,
    mean,
    mean_cells,
    metric_cells,
    metric_columns,
    with_published,
)

TITLES = {"winclip": "WinCLIP", "anomalyclip": "AnomalyCLIP"}
TABLES = {"winclip": ("table1", "table2"), "anomalyclip": ("table3", "table4")}


def by_category(runner: Runner, method: str) -> list[Table]:
    """Tables 1 and 3: every category, and the mean."""
    run = zero_shot(runner, method)
    theirs = published_by_category(runner, method)
    aupro = comparison()["category_aupro"][method] if runner.config.dataset == "mvtec_ad" else {}
    rows: list[Row] = [
        {
            "category": readable_name(category),
            "images": len(run.rows[category]),
            **metric_cells(run, category),
            "published_image_auroc": theirs.get(category, (None, None))[0],
            "published_pixel_auroc": theirs.get(category, (None, None))[1],
            "published_pixel_aupro": aupro.get(category),
        }
        for category in run.categories
    ]
    means = comparison()[f"{method}_mean"] if theirs else {}
    rows.append(
        {
            "category": "mean",
            "images": sum(len(run.rows[category]) for category in run.categories),
            **mean_cells(run),
            **{f"published_{name}": means.get(name) for name in METRICS if name != "image_ap"},
        }
    )
    name = TABLES[method][0]
    columns = (
        Column("category", "category"),
        Column("images", "images"),
        *metric_columns(),
        Column("published_image_auroc", "image AUROC", 3, "published"),
        Column("published_pixel_auroc", "pixel AUROC", 3, "published"),
        Column("published_pixel_aupro", "AUPRO", 3, "published"),
    )
    title = f"Table {name[-1]}. {TITLES[method]}, zero-shot, by category"
    note = INTERVALS
    if theirs:
        note += f"\n\nPublished: {comparison()['source']}; means over all 15 categories."
    return [Table(name, title, *with_published(columns, rows), note, summary=1)]


def means(runner: Runner, method: str) -> list[Table]:
    """Tables 2 and 4: the means, with all that is published of the method."""
    run = zero_shot(runner, method)
    sources = published(method, runner.config.dataset)
    cells = mean_cells(run)
    rows: list[Row] = []
    for metric in METRICS:
        level, heading = metric.split("_")
        bounds = ("auroc" in metric and (cells[f"{metric}_low"], cells[f"{metric}_high"])) or (None, None)
        row: Row = {"metric": f"{level} {heading.upper()}", "ours": cells[metric]}
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
    name = TABLES[method][1]
    title = f"Table {name[-1]}. {TITLES[method]}, zero-shot, means over categories"
    images = sum(len(run.rows[category]) for category in run.categories)
    note = f"{images:,} test images. {INTERVALS}" + (f"\n\nPublished: {listed}." if listed else "")
    return [Table(name, title, columns, tuple(rows), note)]


def by_group(runner: Runner) -> list[Table]:
    """The averages by group of objects, of both methods."""
    is_mvtec = runner.config.dataset == "mvtec_ad"
    rows: list[Row] = []
    for group, members in groups(runner.config.dataset, runner.dataset.categories).items():
        for method, title in TITLES.items():
            run = zero_shot(runner, method)
            theirs = comparison()["group_means"][method].get(group) if is_mvtec else None
            table = [published_by_category(runner, method).get(name) for name in members]
            row: Row = {"group": group, "method": title, "categories": len(members)}
            for place, level in enumerate(LEVELS):
                ours = mean([run.metrics[name][f"{level}_auroc"] for name in members])
                row |= auroc_cells(f"{level}_auroc", ours, run.mean_interval(level, members))
                row[f"published_{level}"] = theirs[place] if theirs else None
                row[f"published_{level}_from_table"] = mean([x[place] if x else None for x in table])
            rows.append(row)
    columns = [Column("group", "group"), Column("method", "method"), Column("categories", "categories")]
    for level in LEVELS:
        columns += auroc_columns(f"{level}_auroc", level)
        columns.append(Column(f"published_{level}", "published", 3, level))
        columns.append(Column(f"published_{level}_from_table", "from its table", 3, level))
    note = f"Means of AUROC over the categories of a group. {INTERVALS}"
    if is_mvtec:
        note += (
            " Published is what the comparison's text says; from its table is the mean of its own tables 1 "
            "and 3 over the same categories, which is not always the same."
        )
    return [Table("groups", "Averages by group of objects", *with_published(columns, rows), note)]


def zero_shot(runner: Runner, method: str) -> Run:
    """The run of a method of `TITLES`."""
    return runner.winclip() if method == "winclip" else runner.anomalyclip()


def published_by_category(runner: Runner, method: str) -> dict[str, tuple[float, float]]:
    """The comparison's image and pixel AUROC; {} for other data sets than its own."""
    return comparison()[f"{method}_zero_shot"] if runner.config.dataset == "mvtec_ad" else {}


table1 = functools.partial(by_category, method="winclip")
table2 = functools.partial(means, method="winclip")
table3 = functools.partial(by_category, method="anomalyclip")
table4 = functools.partial(means, method="anomalyclip")


def differences(runner: Runner) -> list[Table]:
    """AnomalyCLIP against WinCLIP, zero-shot, by category and in the mean."""
    ours, theirs = runner.anomalyclip(), runner.winclip()
    rows: list[Row] = []
    found = []
    for category in runner.dataset.categories:
        a, b = ours.scores(category), theirs.scores(category)
        difference = delong(a, b, ours.labels(category)) if len(a) == len(b) else None
        if difference is not None:
            found.append(difference)
        image = (difference.value, difference.p) if difference else (None, None)
        rows.append(_row(readable_name(category), image, runner, (category,)))
    total = mean_difference(found) if found else None
    image = (total.value, total.p) if total else (None, None)
    rows.append(_row("mean", image, runner, runner.dataset.categories))
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
        "AnomalyCLIP's AUROC minus WinCLIP's, zero-shot, on the same images. p is of DeLong's two-sided "
        "paired test that there is no difference, not corrected for the number of categories; that of the "
        f"mean takes categories as independent. {INTERVALS} Here it is of the difference, both methods on "
        "the same bootstrap sets."
    )
    return [Table("differences", "AnomalyCLIP against WinCLIP", columns, tuple(rows), note, summary=1)]


def _row(
    name: str, image: tuple[float | None, float | None], runner: Runner, categories: tuple[str, ...]
) -> Row:
    row: Row = {"category": name, "image_difference": image[0], "image_p": image[1]}
    for level in ("image", "pixel"):
        resampled = [
            mean_resampled([run], level, categories) for run in (runner.anomalyclip(), runner.winclip())
        ]
        row[f"{level}_low"], row[f"{level}_high"] = interval(resampled[0] - resampled[1])
    values = [
        [run.metrics[category]["pixel_auroc"] for category in categories]
        for run in (runner.anomalyclip(), runner.winclip())
    ]
    pairs = [a - b for a, b in zip(*values, strict=True) if a is not None and b is not None]
    return {**row, "pixel_difference": sum(pairs) / len(pairs) if pairs else None}
