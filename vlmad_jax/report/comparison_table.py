"""The table of a comparison, in Markdown, which a terminal shows as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vlmad_jax.report.grid import markdown_grid

_METRICS = {
    "image_auroc": "image AUROC",
    "image_ap": "image AP",
    "pixel_auroc": "pixel AUROC",
    "pixel_aupro": "AUPRO",
}
_COLUMNS = ("method", "shots", *_METRICS.values(), "ms/image", "prepare s", "peak GB")


def comparison_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A row a method and number of shots.

    Metrics are fractions 0..1, the mean over seeds and, where there are several, the sample standard
    deviation; "-" is what is undefined or failed. Then milliseconds to score an image, seconds to prepare a
    category, and the peak of memory.
    """
    return markdown_grid([list(_COLUMNS), *(_cells(row) for row in rows)])


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
