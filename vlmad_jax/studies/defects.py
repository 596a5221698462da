"""Tables 5 and 6: defects by visual contrast and by type."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vlmad_jax.data.images import open_image, resize_image
from vlmad_jax.data.masks import read_masks, resize_mask
from vlmad_jax.report.parts import Column, Table, Value
from vlmad_jax.report.published import comparison
from vlmad_jax.runtime.cache import cache_key
from vlmad_jax.runtime.files import write_json
from vlmad_jax.studies.compared import compared
from vlmad_jax.studies.definitions import (
    CONTRAST_LEVELS,
    RING,
    SIDE,
    UNTYPED,
    contrast,
    contrast_levels,
    defect_type,
    defect_types,
    is_compared,
)
from vlmad_jax.studies.run import readable_name
from vlmad_jax.studies.runner import Runner, stored_json
from vlmad_jax.studies.table_columns import INTERVALS, Row, auroc_columns, auroc_values, with_published

PUBLISHED = "anomalyclip"  # the method of the comparison's tables 5 and 6
MEASURED = (
    "A defect's AUROC is that of its images against all normal test images of its category. The mean and the "
    "sample standard deviation are over defects; each defect counts once, whatever its number of images."
)


@dataclass(frozen=True)
class Defects:
    """The defects of a data set.

    Attributes:
      rows: A row of values for each defect.
      bounds: The upper bounds of low and medium contrast; empty if no defect has a contrast.
    """

    rows: list[Row]
    bounds: list[float]


def all_defects(runner: Runner) -> list[Table]:
    """Return a table of all defects with their types, contrasts and AUROCs of both methods."""
    columns = [
        Column("category", "category"),
        Column("defect", "defect"),
        Column("type", "type"),
        Column("images", "images"),
        Column("contrast", "contrast", 2),
        Column("level", "level"),
    ]
    for method in compared(runner):
        columns += auroc_columns(f"{method.name}_auroc", method.label)
    rows = [
        {key: x for key, x in row.items() if key != "compared"}
        | {
            "category": readable_name(str(row["category"])),
            "defect": readable_name(str(row["defect"])),
        }
        for row in _defects(runner).rows
    ]
    return [Table("defects", "All defects", tuple(columns), tuple(rows), f"{MEASURED} {INTERVALS}")]


def table5(runner: Runner) -> list[Table]:
    """Return table 5: defects of low, medium and high contrast."""
    found = _defects(runner)
    published = _published(runner, "anomalyclip_by_contrast")
    summary = [
        _summary(runner, level, [r for r in found.rows if r["level"] == level], published.get(level))
        for level in CONTRAST_LEVELS
    ]
    bounds = found.bounds
    source = "terciles of all defects" if runner.config.contrasts is None else "from --contrasts"
    note = (
        f"{MEASURED}\n\nThe contrast of an image is the distance in CIELAB between the mean colour of the "
        f"defect and that of the ring of {RING} pixels around it, at {SIDE} x {SIDE} pixels, divided by the "
        "root mean square distance of the ring's pixels from their mean. The contrast of a defect is the "
        "median over its images. "
        + (f"Low ends at {bounds[0]:.3f} and medium at {bounds[1]:.3f} ({source})." if bounds else "")
    )
    title = "Table 5. Defects by visual contrast"
    return [_summary_table(runner, "table5", title, "contrast", summary, note)]


def table6(runner: Runner) -> list[Table]:
    """Return table 6: defects by type."""
    rows = _defects(runner).rows
    published = _published(runner, "anomalyclip_by_defect_type")
    present = {row["type"] for row in rows}
    types = [name for name in (*defect_types(), UNTYPED) if name in present or name in published]
    summary = [
        _summary(runner, name, [r for r in rows if r["type"] == name], published.get(name)) for name in types
    ]
    note = (
        f"{MEASURED}\n\nThe file vlmad_jax/studies/definitions.json gives the type of each defect. The "
        "comparison counts 52 of MVTec AD's 73 defects and does not publish which; that file chooses as many "
        "of each type as the comparison's table has."
    )
    return [_summary_table(runner, "table6", "Table 6. Defects by type", "type", summary, note)]


def _defects(runner: Runner) -> Defects:
    return runner.cached("defects", lambda: _measure(runner))


def _measure(runner: Runner) -> Defects:
    runs = {method.name: method.compared() for method in compared(runner)}
    any_run = next(iter(runs.values()))
    contrasts = measured_contrasts(runner)
    rows: list[Row] = []
    for category in runner.dataset.categories:
        for defect in any_run.defects(category):
            row: Row = {"category": category, "defect": defect, "type": defect_type(category, defect)}
            images = [r for r in any_run.rows[category] if r.defect == defect]
            row |= {"compared": int(is_compared(runner.config.dataset, category, defect))}
            row |= {"images": len(images), "contrast": contrasts[category].get(defect)}
            for method, run in runs.items():
                value, interval = run.defect_auroc(category, defect), run.defect_interval(category, defect)
                row |= auroc_values(f"{method}_auroc", value, interval)
            rows.append(row)
    known = _numbers(rows, "contrast")
    levels, bounds = contrast_levels(known, runner.config.contrasts) if known else ([], [])
    remaining = iter(levels)
    for row in rows:
        row["level"] = next(remaining) if row["contrast"] is not None else None
    return Defects(rows, bounds)


def measured_contrasts(runner: Runner) -> dict[str, dict[str, float | None]]:
    """Return the contrast of each defect by category, the median over its images; it is measured once."""
    path = runner.out / "contrasts" / f"{cache_key(runner.dataset.fingerprint)}.json"
    stored = stored_json(path)
    if stored is not None:
        return stored
    found: dict[str, dict[str, float | None]] = {}
    for category in runner.dataset.categories:
        values: dict[str, list[float]] = {}
        for sample in runner.dataset.select(category, "test"):
            if not sample.label:
                continue
            of_defect = values.setdefault(sample.defect, [])
            if sample.has_mask:
                image = resize_image(open_image(sample.path), SIDE)
                value = contrast(image, resize_mask(read_masks(sample.masks), SIDE))
                of_defect += [] if value is None else [value]
        found[category] = {name: float(np.median(x)) if x else None for name, x in values.items()}
    write_json(path, found)
    return found


def _numbers(rows: list[Row], key: str) -> list[float]:
    """Return the defined values of a column."""
    return [value for row in rows if isinstance(value := row[key], float)]


def _published(runner: Runner, key: str) -> dict[str, Sequence[float]]:
    is_published = runner.config.dataset == "mvtec_ad" and PUBLISHED in runner.config.methods
    return comparison()[key] if is_published else {}


def _summary(runner: Runner, name: str, rows: list[Row], published: Sequence[float] | None) -> Row:
    """Return the mean, deviation and number of the defects that the comparison counts, and of all."""
    row: Row = {"name": name}
    for scope, chosen in (("compared", [r for r in rows if r["compared"]]), ("all", rows)):
        for method in runner.config.methods:
            aurocs = _numbers(chosen, f"{method}_auroc")
            row[f"{scope}_{method}"] = statistics.fmean(aurocs) if aurocs else None
            row[f"{scope}_{method}_deviation"] = statistics.stdev(aurocs) if len(aurocs) > 1 else None
        row[f"{scope}_defects"] = len(chosen)
    values: Sequence[Value] = published or (None, None, None)
    return row | dict(zip(("published", "published_deviation", "published_defects"), values, strict=True))


def _summary_table(runner: Runner, name: str, title: str, heading: str, rows: list[Row], note: str) -> Table:
    columns = [Column("name", heading)]
    scopes = {"compared": "defects in the comparison", "all": "all defects"}
    if all(row["compared_defects"] == row["all_defects"] for row in rows):
        rows = [{k: x for k, x in row.items() if not k.startswith("compared")} for row in rows]
        del scopes["compared"]
    for scope, group in scopes.items():
        for method in compared(runner):
            columns.append(Column(f"{scope}_{method.name}", f"{method.label} AUROC", 3, group))
            columns.append(Column(f"{scope}_{method.name}_deviation", "deviation", 3, group))
        columns.append(Column(f"{scope}_defects", "defects", group=group))
    columns += [
        Column("published", "AnomalyCLIP AUROC", 3, "published"),
        Column("published_deviation", "deviation", 3, "published"),
        Column("published_defects", "defects", group="published"),
    ]
    return Table(name, title, *with_published(columns, rows), note)
