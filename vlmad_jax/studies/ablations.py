"""Ablations of WinCLIP, zero-shot: window sizes (figure 5), prompts, and kinds of features."""

from __future__ import annotations

import dataclasses

import matplotlib.figure

from vlmad_jax.report.parts import Column, Figure, Table
from vlmad_jax.report.published import comparison
from vlmad_jax.scoring.prompts import WINCLIP, PromptEnsemble
from vlmad_jax.studies.embeddings import CLASS_TOKEN, MAPS
from vlmad_jax.studies.few_shot import MEAN, auroc_of
from vlmad_jax.studies.panels import Panel, draw_panels, panels_size
from vlmad_jax.studies.run import Run, titles
from vlmad_jax.studies.runner import Runner
from vlmad_jax.studies.table_columns import (
    INTERVALS,
    LEVELS,
    Row,
    auroc_columns,
    auroc_values,
    mean_values,
    metric_columns,
    with_published,
)
from vlmad_jax.studies.winclip_runs import SIZES, PromptVariant, WinclipRuns

WINDOW_SCORES = (
    "WinCLIP's image score depends on the whole image only, not on its windows. Here the image AUROC is that "
    "of the highest window score, and the pixel AUROC is that of the windows' map without the whole image as "
    "an additional scale."
)


def compared_sizes(runner: Runner) -> dict[str, tuple[int, ...]]:
    """Return the compared window sizes by name: each size alone, the published pair, and all together."""
    every = WinclipRuns.of(runner).detector.window_sizes
    return {str(size): (size,) for size in every} | {"2 and 3": SIZES, "all": every}


def runs_by_size(runner: Runner) -> dict[str, Run]:
    """Return the runs of `compared_sizes`."""
    winclip = WinclipRuns.of(runner)
    return {name: winclip.features(("windows",), sizes) for name, sizes in compared_sizes(runner).items()}


def windows(runner: Runner) -> list[Table]:
    """Return the mean over categories of each window size."""
    is_mvtec = runner.config.dataset == "mvtec_ad"
    published = comparison()["window_text"]["mean"] if is_mvtec else {}
    rows: list[Row] = []
    for name, run in runs_by_size(runner).items():
        row: Row = {"sizes": name}
        for level in LEVELS:
            row |= auroc_values(f"{level}_auroc", auroc_of(run, level, MEAN), run.mean_interval(level))
        rows.append({**row, "published": published.get(name)})
    columns = [Column("sizes", "window sizes")]
    for level in LEVELS:
        columns += auroc_columns(f"{level}_auroc", level)
    columns.append(Column("published", "published AUROC", 3))
    note = f"{WINDOW_SCORES} {INTERVALS}"
    if is_mvtec:
        note += (
            "\n\nThe comparison's text does not say whether its mean for size 1 is the image or pixel AUROC."
        )
    return [Table("windows", "WinCLIP by window size", *with_published(columns, rows), note)]


def figure5(runner: Runner) -> list[Figure]:
    """Return figure 5: AUROC by window size, with a panel for each category and for the mean."""
    found = runs_by_size(runner)
    alone = [str(size) for size in WinclipRuns.of(runner).detector.window_sizes]
    data = {
        title: {
            level: {name: auroc_of(run, level, category) for name, run in found.items()} for level in LEVELS
        }
        for category, title in titles((MEAN, *runner.dataset.categories)).items()
    }
    is_mvtec = runner.config.dataset == "mvtec_ad"
    published = {MEAN: comparison()["window_text"]["mean"], "carpet": comparison()["window_text"]["carpet"]}

    def draw(canvas: matplotlib.figure.Figure) -> None:
        panels = []
        for category, by_level in data.items():
            lines = {f"{level}s": [values[name] for name in alone] for level, values in by_level.items()}
            if is_mvtec and category in published:
                lines["published"] = [published[category].get(name) for name in alone]
            levels = {f"{level}s, all sizes": values["all"] for level, values in by_level.items()}
            panels.append(Panel(category, alone, lines, levels=levels))
        draw_panels(canvas, panels, "side of the windows in patches", "AUROC")

    note = f"AUROC by window size. Dashed lines are all sizes together. {WINDOW_SCORES}"
    return [Figure("figure5", "Figure 5. WinCLIP by window size", data, draw, note, panels_size(len(data)))]


TEMPLATE = "a photo of a {}."
ONE_PROMPT = PromptEnsemble(("{}",), ("damaged {}",), (TEMPLATE,))
STATES_ALONE = dataclasses.replace(WINCLIP, templates=(TEMPLATE,))
TEMPLATES_ALONE = dataclasses.replace(ONE_PROMPT, templates=WINCLIP.templates)
OBJECT = "object"


def prompts(runner: Runner) -> list[Table]:
    """Return the means over categories with other prompts."""
    winclip = WinclipRuns.of(runner)
    compared: dict[str, PromptVariant | None] = {
        "one prompt": PromptVariant("prompts-one", ONE_PROMPT),
        "states alone": PromptVariant("prompts-states", STATES_ALONE),
        "templates alone": PromptVariant("prompts-templates", TEMPLATES_ALONE),
        "whole ensemble": None,
        f'whole ensemble of "{OBJECT}"': PromptVariant("prompts-object", WINCLIP, OBJECT),
    }
    if runner.config.prompts is not None:
        compared["your prompts"] = PromptVariant("prompts-own", runner.config.prompts)
    rows: list[Row] = []
    for name, variant in compared.items():
        ensemble = variant.prompts if variant else WINCLIP
        counts = {"normal": len(ensemble.normal("x")), "anomalous": len(ensemble.anomalous("x"))}
        run = winclip.with_prompts(variant) if variant else winclip.run()
        rows.append({"prompts": name, **counts, **mean_values(run)})
    columns = (
        Column("prompts", "prompts"),
        Column("normal", "normal", group="prompts"),
        Column("anomalous", "anomalous", group="prompts"),
        *metric_columns(),
    )
    note = (
        f'WinCLIP, zero-shot, means over categories. "One prompt" is "{TEMPLATE}", filled with the object '
        'and with the damaged object. "States alone" fills this template with all states. "Templates alone" '
        f'fills all templates with these two states. In the ensemble of "{OBJECT}", this word replaces all '
        f"object names. {INTERVALS}"
    )
    return [Table("prompts", "Prompts", columns, tuple(rows), note)]


PIXEL_COLUMNS = ("pixel_auroc", "pixel_auroc_low", "pixel_auroc_high", "pixel_aupro")
SUMS = (
    (CLASS_TOKEN,),
    *((kind,) for kind in MAPS),
    *((CLASS_TOKEN, kind) for kind in MAPS),
    ("plain patches", "windows"),
    ("v-v patches", "windows"),
    (CLASS_TOKEN, *MAPS),
)


def features(runner: Runner) -> list[Table]:
    """Return the means over categories of kinds of features, alone and in sums."""
    rows: list[Row] = []
    for kinds in SUMS:
        values = mean_values(WinclipRuns.of(runner).features(kinds))
        if kinds == (CLASS_TOKEN,):  # its map is constant
            values |= dict.fromkeys(PIXEL_COLUMNS)
        rows.append({"features": " + ".join(kinds), **values})
    note = (
        "Zero-shot with WinCLIP's prompts, at one image size; means over categories. Each kind of features "
        'gives the probability of "anomalous": the class token one for the image, the others a map. A sum is '
        "the mean of the maps, to which the class token adds the same value at every pixel. Its image score "
        "is the mean of the class token's probability and of each map's maximum. Windows have sides of 2 and "
        f"3 patches. {INTERVALS}"
    )
    columns = (Column("features", "features"), *metric_columns())
    return [Table("features", "Features", columns, tuple(rows), note)]
