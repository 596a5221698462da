"""Figure 5: WinCLIP's window sizes, alone and combined."""

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
from vlmad_jax.studies.runner import SIZES, PromptVariant, Runner
from vlmad_jax.studies.table_columns import (
    INTERVALS,
    LEVELS,
    Row,
    auroc_cells,
    auroc_columns,
    mean_cells,
    metric_columns,
    with_published,
)

WINDOWS = ("windows",)
DEFINED = (
    "WinCLIP's image score is of the whole image, whatever its windows. So the image AUROC here is of the "
    "highest window score, and the pixel AUROC of the map of windows, without the whole image as one more "
    "scale."
)


def sizes_of(runner: Runner) -> dict[str, tuple[int, ...]]:
    """What is compared: each size alone, the published pair, and all together."""
    every = runner.base.window_sizes
    found = {str(size): (size,) for size in every}
    return found | {"2 and 3": SIZES, "all": every}


def runs_by_size(runner: Runner) -> dict[str, Run]:
    """The runs by what is compared."""
    return {name: runner.features(WINDOWS, sizes) for name, sizes in sizes_of(runner).items()}


def windows(runner: Runner) -> list[Table]:
    """The mean over categories of each size."""
    is_mvtec = runner.config.dataset == "mvtec_ad"
    theirs = comparison()["window_text"]["mean"] if is_mvtec else {}
    rows: list[Row] = []
    for name, run in runs_by_size(runner).items():
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


def figure5(runner: Runner) -> list[Figure]:
    """AUROC by window size, a panel a category, and the mean."""
    found = runs_by_size(runner)
    alone = [str(size) for size in runner.base.window_sizes]
    data = {
        title: {
            level: {name: auroc_of(run, level, category) for name, run in found.items()} for level in LEVELS
        }
        for category, title in titles((MEAN, *runner.dataset.categories)).items()
    }
    is_mvtec = runner.config.dataset == "mvtec_ad"
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


PLAIN = "a photo of a {}."
ONE_SENTENCE = PromptEnsemble(("{}",), ("damaged {}",), (PLAIN,))
STATES_ALONE = dataclasses.replace(WINCLIP, templates=(PLAIN,))
TEMPLATES_ALONE = dataclasses.replace(ONE_SENTENCE, templates=WINCLIP.templates)
OBJECT = "object"


def prompts(runner: Runner) -> list[Table]:
    """WinCLIP zero-shot with other sentences."""
    asked: dict[str, PromptVariant | None] = {
        "one sentence": PromptVariant("words-one-sentence", ONE_SENTENCE),
        "states alone": PromptVariant("words-states", STATES_ALONE),
        "templates alone": PromptVariant("words-templates", TEMPLATES_ALONE),
        "whole ensemble": None,
        f'whole ensemble of "{OBJECT}"': PromptVariant("words-object", WINCLIP, OBJECT),
    }
    if runner.config.words is not None:
        asked["your words"] = PromptVariant("words-own", runner.config.words)
    rows: list[Row] = []
    for name, variant in asked.items():
        words = variant.prompts if variant else WINCLIP
        counts = {"good": len(words.normal("x")), "defective": len(words.anomalous("x"))}
        rows.append({"prompts": name, **counts, **mean_cells(runner.winclip(variant))})
    columns = (
        Column("prompts", "prompts"),
        Column("good", "good", group="sentences"),
        Column("defective", "defective", group="sentences"),
        *metric_columns(),
    )
    note = (
        f'WinCLIP, zero-shot, means over categories. One sentence is "{PLAIN}" of the object and of the '
        "damaged object; states alone fill that template with all states; templates alone fill all templates "
        f'with these two; the last names every product "{OBJECT}". {INTERVALS}'
    )
    return [Table("prompts", "Prompts", columns, tuple(rows), note)]


PIXEL = ("pixel_auroc", "pixel_auroc_low", "pixel_auroc_high", "pixel_aupro")
SUMS = (
    (CLASS_TOKEN,),
    *((kind,) for kind in MAPS),
    *((CLASS_TOKEN, kind) for kind in MAPS),
    ("plain patches", "windows"),
    ("v-v patches", "windows"),
    (CLASS_TOKEN, *MAPS),
)


def features(runner: Runner) -> list[Table]:
    """Every sum of kinds, means over categories."""
    rows: list[Row] = []
    for kinds in SUMS:
        cells = mean_cells(runner.features(kinds))
        if kinds == (CLASS_TOKEN,):  # the same at every pixel, it has no map
            cells |= dict.fromkeys(PIXEL)
        rows.append({"features": " + ".join(kinds), **cells})
    note = (
        "Zero-shot with WinCLIP's words, at one image size; means over categories. Each kind gives the "
        "probability of defective: the class token one for the image, the others a map. A sum is the mean "
        "of the maps, to which the class token adds the same at every pixel; its image score is the mean of "
        f"the class token's and of the highest of each map. Windows are of 2 and 3 patches. {INTERVALS}"
    )
    return [
        Table("features", "Features", (Column("features", "features"), *metric_columns()), tuple(rows), note)
    ]
