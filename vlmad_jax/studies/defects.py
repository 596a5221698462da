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
from vlmad_jax.studies.definitions import (
    LEVELS,
    SIDE,
    UNTYPED,
    contrast,
    defect_type,
    defect_types,
    is_compared,
    levels_of,
)
from vlmad_jax.studies.run import readable_name
from vlmad_jax.studies.runner import Runner
from vlmad_jax.studies.table_columns import INTERVALS, Row, auroc_cells, auroc_columns, with_published
from vlmad_jax.studies.zero_shot import TITLES, zero_shot

METHOD = "anomalyclip"  # the comparison's tables are of it
MEASURED = (
    "A defect's AUROC is that of its images against all good test images of its category. Mean and "
    "sample standard deviation are over defects, each counted once however many images it has."
)


@dataclass(frozen=True)
class Defects:
    """Every defect of a data set.

    Attributes:
      rows: the cells of each.
      bounds: where low and medium contrast end; empty where no defect has a contrast.
    """

    rows: list[Row]
    bounds: list[float]


def every_defect(runner: Runner) -> list[Table]:
    """Every defect: what it is, its contrast, and how well both methods find it."""
    return [_table_of(_found(runner).rows)]


def table5(runner: Runner) -> list[Table]:
    """By contrast: low, medium and high."""
    found = _found(runner)
    theirs = _published(runner, "anomalyclip_by_contrast")
    summary = [
        _summary(level, [r for r in found.rows if r["level"] == level], theirs.get(level)) for level in LEVELS
    ]
    bounds = found.bounds
    chosen = "terciles of all defects" if runner.config.contrasts is None else "as given"
    note = (
        f"{MEASURED}\n\nContrast is the distance in CIELAB between the mean colour of a defect and that of "
        f"the ring of 8 pixels around it at {SIDE} x {SIDE}, divided by the root mean square distance of the "
        "ring's pixels from their mean; a defect's is the median over its images. "
        + (f"Low ends at {bounds[0]:.3f} and medium at {bounds[1]:.3f}: {chosen}." if bounds else "")
    )
    return [_summary_table("table5", "Table 5. Defects by visual contrast", "contrast", summary, note)]


def table6(runner: Runner) -> list[Table]:
    """By type of defect."""
    rows = _found(runner).rows
    theirs = _published(runner, "anomalyclip_by_defect_type")
    there = {row["type"] for row in rows}
    types = [name for name in (*defect_types(), UNTYPED) if name in there or name in theirs]
    summary = [_summary(name, [r for r in rows if r["type"] == name], theirs.get(name)) for name in types]
    note = (
        f"{MEASURED}\n\nThe type of each defect is a table of this package, "
        "vlmad_jax/studies/definitions.json. Which 52 of MVTec AD's 73 defects the comparison counts is not "
        "published; ours give each type as many as its table has."
    )
    return [_summary_table("table6", "Table 6. Defects by type", "type", summary, note)]


def _found(runner: Runner) -> Defects:
    """Every defect, put together once."""
    return runner.cached("defects", lambda: _made(runner))


def _made(runner: Runner) -> Defects:
    found = {method: zero_shot(runner, method) for method in TITLES}
    contrasts = measured_contrasts(runner)
    rows: list[Row] = []
    for category in runner.dataset.categories:
        for defect in found[METHOD].defects(category):
            row: Row = {"category": category, "defect": defect, "type": defect_type(category, defect)}
            images = [r for r in found[METHOD].rows[category] if r.defect == defect]
            row |= {"compared": int(is_compared(runner.config.dataset, category, defect))}
            row |= {"images": len(images), "contrast": contrasts[category].get(defect)}
            for method, run in found.items():
                value, interval = run.defect_auroc(category, defect), run.defect_interval(category, defect)
                row |= auroc_cells(f"{method}_auroc", value, interval)
            rows.append(row)
    known = _numbers(rows, "contrast")
    levels, bounds = levels_of(known, runner.config.contrasts) if known else ([], [])
    left = iter(levels)
    for row in rows:
        row["level"] = next(left) if row["contrast"] is not None else None
    return Defects(rows, bounds)


def measured_contrasts(runner: Runner) -> dict[str, dict[str, float | None]]:
    """The contrast of each defect by category, the median over its images; measured once."""
    path = runner.out / "contrasts" / f"{cache_key(runner.dataset.fingerprint)}.json"
    kept = runner.kept_json(path)
    if kept is not None:
        return kept
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
    """The cells of a column that are defined."""
    return [value for row in rows if isinstance(value := row[key], float)]


def _published(runner: Runner, key: str) -> dict[str, Sequence[float]]:
    return comparison()[key] if runner.config.dataset == "mvtec_ad" else {}


def _summary(name: str, rows: list[Row], theirs: Sequence[float] | None) -> Row:
    """The mean, deviation and number of defects: those that the comparison counts, and all."""
    row: Row = {"name": name}
    for scope, chosen in (("compared", [r for r in rows if r["compared"]]), ("all", rows)):
        for method in TITLES:
            values = _numbers(chosen, f"{method}_auroc")
            row[f"{scope}_{method}"] = statistics.fmean(values) if values else None
            row[f"{scope}_{method}_deviation"] = statistics.stdev(values) if len(values) > 1 else None
        row[f"{scope}_defects"] = len(chosen)
    published: tuple[Value, ...] = tuple(theirs) if theirs else (None, None, None)
    return row | dict(zip(("published", "published_deviation", "published_defects"), published, strict=True))


def _summary_table(name: str, title: str, heading: str, rows: list[Row], note: str) -> Table:
    columns = [Column("name", heading)]
    scopes = {"compared": "defects of the comparison", "all": "all defects"}
    if all(row["compared_defects"] == row["all_defects"] for row in rows):
        rows = [{k: x for k, x in row.items() if not k.startswith("compared")} for row in rows]
        del scopes["compared"]
    for scope, group in scopes.items():
        for method, shown in TITLES.items():
            columns.append(Column(f"{scope}_{method}", f"{shown} AUROC", 3, group))
            columns.append(Column(f"{scope}_{method}_deviation", "deviation", 3, group))
        columns.append(Column(f"{scope}_defects", "defects", group=group))
    columns += [
        Column("published", "AnomalyCLIP AUROC", 3, "published"),
        Column("published_deviation", "deviation", 3, "published"),
        Column("published_defects", "defects", group="published"),
    ]
    return Table(name, title, *with_published(columns, rows), note)


def _table_of(rows: list[Row]) -> Table:
    columns = [
        Column("category", "category"),
        Column("defect", "defect"),
        Column("type", "type"),
        Column("images", "images"),
        Column("contrast", "contrast", 2),
        Column("level", "level"),
    ]
    for method, title in TITLES.items():
        columns += auroc_columns(f"{method}_auroc", title)
    shown = [
        {key: x for key, x in row.items() if key != "compared"}
        | {"category": readable_name(str(row["category"])), "defect": readable_name(str(row["defect"]))}
        for row in rows
    ]
    note = f"{MEASURED} {INTERVALS}"
    return Table("defects", "Every defect", tuple(columns), tuple(shown), note)
