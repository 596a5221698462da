"""Prompts: what the parts of WinCLIP's ensemble bring, and the user's own words."""

from __future__ import annotations

import dataclasses

from vlmad_jax.report.parts import Column, Table
from vlmad_jax.scoring.prompts import WINCLIP, PromptEnsemble
from vlmad_jax.studies.cells import INTERVALS, Row, mean_cells, metric_columns
from vlmad_jax.studies.runs import Runs, Wording

PLAIN = "a photo of a {}."
ONE_SENTENCE = PromptEnsemble(("{}",), ("damaged {}",), (PLAIN,))
STATES_ALONE = dataclasses.replace(WINCLIP, templates=(PLAIN,))
TEMPLATES_ALONE = dataclasses.replace(ONE_SENTENCE, templates=WINCLIP.templates)
OBJECT = "object"


def prompts(runs: Runs) -> list[Table]:
    """WinCLIP zero-shot with other sentences."""
    asked: dict[str, Wording | None] = {
        "one sentence": Wording("words-one-sentence", ONE_SENTENCE),
        "states alone": Wording("words-states", STATES_ALONE),
        "templates alone": Wording("words-templates", TEMPLATES_ALONE),
        "whole ensemble": None,
        f'whole ensemble of "{OBJECT}"': Wording("words-object", WINCLIP, OBJECT),
    }
    if runs.config.words is not None:
        asked["your words"] = Wording("words-own", runs.config.words)
    rows: list[Row] = []
    for name, wording in asked.items():
        words = wording.prompts if wording else WINCLIP
        counts = {"good": len(words.normal("x")), "defective": len(words.anomalous("x"))}
        rows.append({"prompts": name, **counts, **mean_cells(runs.winclip(wording))})
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
