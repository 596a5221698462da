"""Figure 5: WinCLIP's window sizes, alone and combined."""

from __future__ import annotations

import matplotlib.figure

from vlmad_jax.report.parts import Column, Figure, Table
from vlmad_jax.report.published import comparison
from vlmad_jax.studies.cells import INTERVALS, LEVELS, Row, auroc_cells, auroc_columns, with_published
from vlmad_jax.studies.details import titles
from vlmad_jax.studies.finished import Finished
from vlmad_jax.studies.panels import Panel, draw_panels, panels_size
from vlmad_jax.studies.runs import SIZES, Runs
from vlmad_jax.studies.shots import MEAN, auroc_of

WINDOWS = ("windows",)
DEFINED = (
    "WinCLIP's image score is of the whole image, whatever its windows. So the image AUROC here is of the "
    "highest window score, and the pixel AUROC of the map of windows, without the whole image as one more "
    "scale."
)


def sizes_of(runs: Runs) -> dict[str, tuple[int, ...]]:
    """What is compared: each size alone, the published pair, and all together."""
    every = runs.base.window_sizes
    found = {str(size): (size,) for size in every}
    return found | {"2 and 3": SIZES, "all": every}


def runs_by_size(runs: Runs) -> dict[str, Finished]:
    """The runs by what is compared."""
    return {name: runs.features(WINDOWS, sizes) for name, sizes in sizes_of(runs).items()}


def table(runs: Runs) -> list[Table]:
    """The mean over categories of each size."""
    is_mvtec = runs.config.dataset == "mvtec_ad"
    theirs = comparison()["window_text"]["mean"] if is_mvtec else {}
    rows: list[Row] = []
    for name, run in runs_by_size(runs).items():
        row: Row = {"sizes": name}
        for level in LEVELS:
            row |= auroc_cells(f"{level}_auroc", auroc_of(run, level, MEAN), run.mean_interval(level))
        rows.append({**row, "published": theirs.get(name)})
    columns = [Column("sizes", "window sizes")]
    for level in LEVELS:
        columns += auroc_columns(f"{level}_auroc", level)
    columns.append(Column("published", "published AUROC", 3))
    note = f"{DEFINED} {INTERVALS}"
    if is_mvtec:
        note += "\n\nThe comparison's text does not say of which level its mean of size 1 is."
    return [Table("windows", "WinCLIP by window size", *with_published(columns, rows), note)]


def figure5(runs: Runs) -> list[Figure]:
    """AUROC by window size, a panel a category, and the mean."""
    found = runs_by_size(runs)
    alone = [str(size) for size in runs.base.window_sizes]
    data = {
        title: {
            level: {name: auroc_of(run, level, category) for name, run in found.items()} for level in LEVELS
        }
        for category, title in titles((MEAN, *runs.dataset.categories)).items()
    }
    is_mvtec = runs.config.dataset == "mvtec_ad"
    theirs = {MEAN: comparison()["window_text"]["mean"], "carpet": comparison()["window_text"]["carpet"]}

    def draw(canvas: matplotlib.figure.Figure) -> None:
        panels = []
        for category, by_level in data.items():
            lines = {f"{level}s": [values[name] for name in alone] for level, values in by_level.items()}
            if is_mvtec and category in theirs:
                lines["published"] = [theirs[category].get(name) for name in alone]
            levels = {f"{level}s, all sizes": values["all"] for level, values in by_level.items()}
            panels.append(Panel(category, alone, lines, (), levels))
        draw_panels(canvas, panels, "side of the windows, in patches", "AUROC")

    note = f"AUROC by size of the windows; dashed, all sizes together. {DEFINED}"
    return [Figure("figure5", "Figure 5. WinCLIP by window size", data, draw, note, panels_size(len(data)))]
