"""Columns and cells that many tables have."""

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
    "test images, good and defective ones drawn each by themselves; that of a mean draws in every category."
)


def auroc_columns(key: str, group: str) -> tuple[Column, ...]:
    """An AUROC and its interval."""
    return (
        Column(key, "AUROC", 3, group),
        Column(f"{key}_low", "from", 3, group),
        Column(f"{key}_high", "to", 3, group),
    )


def metric_columns() -> tuple[Column, ...]:
    """The four metrics, AUROCs with their intervals."""
    return (
        *auroc_columns("image_auroc", "image"),
        Column("image_ap", "AP", 3, "image"),
        *auroc_columns("pixel_auroc", "pixel"),
        Column("pixel_aupro", "AUPRO", 3, "pixel"),
    )


def auroc_cells(key: str, value: float | None, bounds: tuple[float | None, float | None]) -> Row:
    """The cells of `auroc_columns`."""
    return {key: value, f"{key}_low": bounds[0], f"{key}_high": bounds[1]}


def metric_cells(run: Run, category: str) -> Row:
    """The cells of `metric_columns` for a category."""
    return _cells(run.metrics[category], {level: run.interval(level, category) for level in LEVELS})


def mean_cells(run: Run) -> Row:
    """The cells of `metric_columns` for the mean over categories."""
    return _cells(run.mean, {level: run.mean_interval(level) for level in LEVELS})


def _cells(metrics: Metrics, intervals: Mapping[Level, tuple[float | None, float | None]]) -> Row:
    cells: Row = {name: metrics[name] for name in METRICS}
    for level, bounds in intervals.items():
        cells |= auroc_cells(f"{level}_auroc", metrics[f"{level}_auroc"], bounds)
    return cells


def mean(values: Sequence[float | None]) -> float | None:
    """Of those that are defined; None if none is."""
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None


def with_published(
    columns: Sequence[Column], rows: Sequence[Row]
) -> tuple[tuple[Column, ...], tuple[Row, ...]]:
    """Columns and rows without those of published figures where there are none of this data set."""
    theirs = [column.key for column in columns if column.key.startswith("published")]
    nothing = all(row[key] is None for key in theirs for row in rows)
    empty = set(theirs) if nothing else set()
    return (
        tuple(column for column in columns if column.key not in empty),
        tuple({key: value for key, value in row.items() if key not in empty} for row in rows),
    )
