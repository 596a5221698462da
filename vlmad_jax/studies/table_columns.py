"""Columns that many tables share, and the values of their rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vlmad_jax.metrics import Metrics
from vlmad_jax.metrics.uncertainty import LEVEL, RESAMPLES
from vlmad_jax.report.parts import Column, Value
from vlmad_jax.studies.run import Level, Run

Row = dict[str, Value]

METRICS = ("image_auroc", "image_ap", "pixel_auroc", "pixel_aupro")
LEVELS: tuple[Level, ...] = ("image", "pixel")

INTERVALS = (
    f"From and to are the {LEVEL:.0%} percentile interval of the AUROC over {RESAMPLES:,} bootstrap sets of "
    "test images, in which normal and anomalous images are drawn separately. For a mean, every category is "
    "resampled."
)


def auroc_columns(key: str, group: str) -> tuple[Column, ...]:
    """Return the columns of an AUROC and its interval."""
    return (
        Column(key, "AUROC", 3, group),
        Column(f"{key}_low", "from", 3, group),
        Column(f"{key}_high", "to", 3, group),
    )


def metric_columns() -> tuple[Column, ...]:
    """Return the columns of the four metrics, with intervals of the AUROCs."""
    return (
        *auroc_columns("image_auroc", "image"),
        Column("image_ap", "AP", 3, "image"),
        *auroc_columns("pixel_auroc", "pixel"),
        Column("pixel_aupro", "AUPRO", 3, "pixel"),
    )


def auroc_values(key: str, value: float | None, bounds: tuple[float | None, float | None]) -> Row:
    """Return the values of `auroc_columns`."""
    return {key: value, f"{key}_low": bounds[0], f"{key}_high": bounds[1]}


def category_values(run: Run, category: str) -> Row:
    """Return the values of `metric_columns` for a category."""
    return _values(run.metrics[category], {level: run.interval(level, category) for level in LEVELS})


def mean_values(run: Run) -> Row:
    """Return the values of `metric_columns` for the mean over categories."""
    return _values(run.mean, {level: run.mean_interval(level) for level in LEVELS})


def _values(metrics: Metrics, intervals: Mapping[Level, tuple[float | None, float | None]]) -> Row:
    row: Row = {name: metrics[name] for name in METRICS}
    for level, bounds in intervals.items():
        row |= auroc_values(f"{level}_auroc", metrics[f"{level}_auroc"], bounds)
    return row


def mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of the defined values; None if none is defined."""
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None


def with_published(
    columns: Sequence[Column], rows: Sequence[Row]
) -> tuple[tuple[Column, ...], tuple[Row, ...]]:
    """Return columns and rows, without the columns of published numbers if all of them are empty."""
    published = [column.key for column in columns if column.key.startswith("published")]
    empty = set(published) if all(row[key] is None for key in published for row in rows) else set()
    return (
        tuple(column for column in columns if column.key not in empty),
        tuple({key: value for key, value in row.items() if key not in empty} for row in rows),
    )
