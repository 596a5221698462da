"""Confidence: is the difference between two methods more than chance?"""

from __future__ import annotations

from vlmad_jax.metrics.uncertainty import delong, interval, mean_difference
from vlmad_jax.report.parts import Column, Table
from vlmad_jax.studies.cells import INTERVALS, Row
from vlmad_jax.studies.details import named
from vlmad_jax.studies.finished import mean_resampled
from vlmad_jax.studies.runs import Runs


def differences(runs: Runs) -> list[Table]:
    """AnomalyCLIP against WinCLIP, zero-shot, by category and in the mean."""
    ours, theirs = runs.anomalyclip(), runs.winclip()
    rows: list[Row] = []
    found = []
    for category in runs.dataset.categories:
        a, b = ours.scores(category), theirs.scores(category)
        difference = delong(a, b, ours.labels(category)) if len(a) == len(b) else None
        if difference is not None:
            found.append(difference)
        image = (difference.value, difference.p) if difference else (None, None)
        rows.append(_row(named(category), image, runs, (category,)))
    total = mean_difference(found) if found else None
    image = (total.value, total.p) if total else (None, None)
    rows.append(_row("mean", image, runs, runs.dataset.categories))
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


def _row(name: str, image: tuple[float | None, float | None], runs: Runs, categories: tuple[str, ...]) -> Row:
    row: Row = {"category": name, "image_difference": image[0], "image_p": image[1]}
    for level in ("image", "pixel"):
        resampled = [mean_resampled([run], level, categories) for run in (runs.anomalyclip(), runs.winclip())]
        row[f"{level}_low"], row[f"{level}_high"] = interval(resampled[0] - resampled[1])
    values = [
        [run.metrics[category]["pixel_auroc"] for category in categories]
        for run in (runs.anomalyclip(), runs.winclip())
    ]
    pairs = [a - b for a, b in zip(*values, strict=True) if a is not None and b is not None]
    return {**row, "pixel_difference": sum(pairs) / len(pairs) if pairs else None}
