"""Features: the class token, patches, v-v patches and windows, alone and in sums, with the same words."""

from __future__ import annotations

from vlmad_jax.report.parts import Column, Table
from vlmad_jax.studies.cells import INTERVALS, Row, mean_cells, metric_columns
from vlmad_jax.studies.feature_kinds import CLASS_TOKEN, MAPS
from vlmad_jax.studies.runs import Runs

PIXEL = ("pixel_auroc", "pixel_auroc_low", "pixel_auroc_high", "pixel_aupro")
SUMS = (
    (CLASS_TOKEN,),
    *((kind,) for kind in MAPS),
    *((CLASS_TOKEN, kind) for kind in MAPS),
    ("plain patches", "windows"),
    ("v-v patches", "windows"),
    (CLASS_TOKEN, *MAPS),
)


def features(runs: Runs) -> list[Table]:
    """Every sum of kinds, means over categories."""
    rows: list[Row] = []
    for kinds in SUMS:
        cells = mean_cells(runs.features(kinds))
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
