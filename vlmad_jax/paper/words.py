"""Prompts: what the parts of WinCLIP's ensemble bring, and the user's own words."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

from vlmad_jax.paper.cells import INTERVALS, Row, mean_cells, metric_columns
from vlmad_jax.paper.finished import Finished
from vlmad_jax.paper.runs import Runs
from vlmad_jax.prompts import WINCLIP, PromptEnsemble
from vlmad_jax.report.parts import Column, Table

PLAIN = "a photo of a {}."
ONE_SENTENCE = PromptEnsemble(("{}",), ("damaged {}",), (PLAIN,))
STATES_ALONE = dataclasses.replace(WINCLIP, templates=(PLAIN,))
TEMPLATES_ALONE = dataclasses.replace(ONE_SENTENCE, templates=WINCLIP.templates)
OBJECT = "object"


def prompts(runs: Runs) -> list[Table]:
    """WinCLIP zero-shot with other sentences."""
    ask = functools.partial(runs.winclip, (2, 3))
    asked: dict[str, tuple[PromptEnsemble, Callable[[], Finished]]] = {
        "one sentence": (ONE_SENTENCE, lambda: ask(words=ONE_SENTENCE, name="words-one-sentence")),
        "states alone": (STATES_ALONE, lambda: ask(words=STATES_ALONE, name="words-states")),
        "templates alone": (TEMPLATES_ALONE, lambda: ask(words=TEMPLATES_ALONE, name="words-templates")),
        "whole ensemble": (WINCLIP, ask),
        f'whole ensemble of "{OBJECT}"': (WINCLIP, lambda: ask(object_name=OBJECT, name="words-object")),
    }
    own = runs.config.words
    if own is not None:
        asked["your words"] = (own, lambda: ask(words=own, name="words-own"))
    rows: list[Row] = []
    for name, (words, run) in asked.items():
        counts = {"good": len(words.normal("x")), "defective": len(words.anomalous("x"))}
        rows.append({"prompts": name, **counts, **mean_cells(run())})
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
