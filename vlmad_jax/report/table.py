"""Tables of metrics for a terminal, and Markdown tables."""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vlmad_jax.metrics import METRIC_NAMES, Metrics
from vlmad_jax.report.published import Published
from vlmad_jax.runtime.names import one_line

_HEADINGS = {
    "image_auroc": "AUROC",
    "image_ap": "AP",
    "image_f1_max": "F1max",
    "pixel_auroc": "AUROC",
    "pixel_ap": "AP",
    "pixel_f1_max": "F1max",
    "pixel_aupro": "AUPRO",
}
_CELL = 6  # characters of a column
_GAP = "   "  # between blocks
_NAME_WIDTHS = (14, 28)  # smallest and largest width of the first column, in characters
_METRICS = {
    "image_auroc": "image AUROC",
    "image_ap": "image AP",
    "pixel_auroc": "pixel AUROC",
    "pixel_aupro": "AUPRO",
}
# What stands above or below the tables of batched methods.
WHOLE_SET = (
    "A batched method sees the whole unlabelled test set of a category before it scores one of its images.\n"
    "Do not compare its figures with those of methods that see one test image at a time."
)
_COLUMNS = ("method", "shots", *_METRICS.values(), "ms/image", "prepare s", "peak GB")


@dataclass(frozen=True)
class _Block:
    """Neighbouring columns under one title: the values of some metrics by row."""

    title: str
    metrics: tuple[str, ...]
    rows: Mapping[Hashable, Metrics]

    @property
    def width(self) -> int:
        return _CELL * len(self.metrics)


def mean_of(categories: Mapping[str, Metrics]) -> Metrics:
    """Return the mean of each metric over the categories where it is defined, or None if it never is.

    >>> undefined = dict.fromkeys(METRIC_NAMES)
    >>> mean_of({"cup": undefined | {"image_ap": 0.5}, "lid": undefined | {"image_ap": 1.0}})["image_ap"]
    0.75
    """
    means: Metrics = {}
    for name in METRIC_NAMES:
        defined = [value for metrics in categories.values() if (value := metrics[name]) is not None]
        means[name] = math.fsum(defined) / len(defined) if defined else None
    return means


def metrics_table(results: Mapping[str, Metrics], mean: Metrics, published: Sequence[Published] = ()) -> str:
    """Return a table with one row per category, the mean, and published results.

    Metrics are fractions 0..1 with three digits; "-" is undefined or not published. The sources of published
    results are numbered, and their titles are listed below the table. Their means are rows below our mean.
    Results by category are additional columns on the right. The table is at most 110 characters wide, unless
    a title is wider.
    """
    category, ours = "category", "mean"
    theirs = {n: f"published [{n}]" for n in range(1, len(published) + 1)}
    own_rows: dict[Hashable, Metrics] = {(category, name): metrics for name, metrics in results.items()}
    own_rows |= {ours: mean} | {n: published[n - 1]["mean"] for n in theirs}
    blocks = [_Block("image", METRIC_NAMES[:3], own_rows), _Block("pixel", METRIC_NAMES[3:], own_rows)]
    for n, source in enumerate(published, 1):
        if source["categories"]:
            rows: dict[Hashable, Metrics] = {(category, name): m for name, m in source["categories"].items()}
            blocks.append(
                _Block(f"[{n}] image/pixel", ("image_auroc", "pixel_auroc"), rows | {ours: source["mean"]})
            )

    longest = max(map(len, (*results, *theirs.values())), default=0)
    width = max(_NAME_WIDTHS[0], min(longest, _NAME_WIDTHS[1]))

    def line(name: str, parts: Sequence[str]) -> str:
        name = one_line(name)
        name = name if len(name) <= width else name[: width - 3] + "..."
        return _GAP.join([name.ljust(width), *parts]).rstrip()

    def row(name: str, key: Hashable) -> str:
        return line(name, [_figures(block, key) for block in blocks])

    headings = ["".join(_HEADINGS[m].rjust(_CELL) for m in block.metrics) for block in blocks]
    rule = "-" * (width + sum(len(_GAP) + block.width for block in blocks))
    lines = [
        line("", [block.title.rjust(block.width) for block in blocks]),
        line(category, headings),
        rule,
        *(row(name, (category, name)) for name in results),
        rule,
        row(ours, ours),
        *(row(label, n) for n, label in theirs.items()),
    ]
    if published:
        lines += ["", "Published means are over every category of the data set."]
        lines += [f"[{n}] {source['source']}" for n, source in enumerate(published, 1)]
    return "\n".join(lines)


def undefined_lines(undefined: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return one line for each reason why metrics are undefined, with the categories that it applies to.

    Args:
      undefined: For each category, the reason for "image" or "pixel" metrics.

    >>> undefined_lines({"skin": {"image": "all test images are anomalous"}})
    ['- image metrics of skin are undefined: all test images are anomalous']
    """
    by_reason: dict[tuple[str, str], list[str]] = {}
    for category, reasons in undefined.items():
        for kind, reason in reasons.items():
            by_reason.setdefault((kind, reason), []).append(one_line(category))
    return [
        f"- {kind} metrics of {', '.join(categories)} are undefined: {reason}"
        for (kind, reason), categories in by_reason.items()
    ]


def _figures(block: _Block, key: Hashable) -> str:
    """Return one row of a block, blank if the block does not cover a source's mean."""
    if isinstance(key, int) and key not in block.rows:
        return " " * block.width
    values = [block.rows.get(key, {}).get(metric) for metric in block.metrics]
    return "".join(("-" if value is None else f"{value:.3f}").rjust(_CELL) for value in values)


def comparison_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a Markdown table with one row per method and number of shots.

    Metrics are fractions 0..1: the mean over seeds, with the sample standard deviation if there are several
    seeds; "-" is undefined or failed. The last columns are milliseconds to score an image, seconds to prepare
    a category, and the peak of memory in GB.
    """
    return markdown_grid([list(_COLUMNS), *(_cells(row) for row in rows)])


def comparison_tables(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a table of the rows, and after it one of those whose methods see the whole test set, if any."""
    batched = [row for row in rows if row["shots"] == "batched"]
    others = [row for row in rows if row["shots"] != "batched"]
    tables = [comparison_table(others)] if others or not batched else []
    if batched:
        tables.append(f"{WHOLE_SET}\n\n{comparison_table(batched)}")
    return "\n\n".join(tables)


def _cells(row: Mapping[str, Any]) -> list[str]:
    metrics = [_with_deviation(row[name], row[f"{name}_deviation"]) for name in _METRICS]
    resources = [
        _scaled(row["image_seconds"], 1e3, ".1f"),
        _scaled(row["prepare_seconds"], 1, ".1f"),
        _scaled(row["peak_memory_bytes"], 1e-9, ".2f"),
    ]
    return [row["method"], str(row["shots"]), *metrics, *resources]


def _with_deviation(mean: float | None, deviation: float | None) -> str:
    if mean is None:
        return "-"
    return f"{mean:.3f}" if deviation is None else f"{mean:.3f} ± {deviation:.3f}"


def _scaled(value: float | None, factor: float, form: str) -> str:
    return "-" if value is None else format(value * factor, form)


def markdown_grid(cells: Sequence[Sequence[str]], left: Collection[int] = (0,)) -> str:
    """Return a Markdown table with aligned columns, so that a terminal shows it well too.

    The first row of cells is the heading. Columns whose numbers are not in `left` are aligned to the right.

    >>> print(markdown_grid([["method", "AP"], ["coop", "0.854"]]))
    | method |    AP |
    |--------|------:|
    | coop   | 0.854 |
    """
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["| " + " | ".join(_aligned(row, widths, left)) + " |" for row in cells]
    ends = ["-" if n in left else ":" for n in range(len(widths))]
    rule = "|" + "|".join(f"-{'-' * width}{end}" for width, end in zip(widths, ends, strict=True)) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def _aligned(row: Sequence[str], widths: Sequence[int], left: Collection[int]) -> list[str]:
    return [
        cell.ljust(width) if n in left else cell.rjust(width)
        for n, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
