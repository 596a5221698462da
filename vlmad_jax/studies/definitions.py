"""What the comparison leaves open, decided: types of defects, groups of categories, levels of contrast."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from vlmad_jax.report.published import comparison

UNTYPED, UNGROUPED = "untyped", "other"
LEVELS = ("low", "medium", "high")


def defect_types() -> tuple[str, ...]:
    """The types, as the comparison's table lists them, hardest first."""
    return tuple(_read()["types"])


def defect_type(category: str, defect: str) -> str:
    """The type of a defect, MVTec AD's by category and folder, any other by its name; or `UNTYPED`.

    >>> defect_type("transistor", "cut_lead"), defect_type("hex_nut", "rust"), defect_type("nut", "odd")
    ('missing component', 'appearance change', 'untyped')
    """
    known = _read()["mvtec_ad"].get(category, {}).get(defect)
    return known[0] if known else _read()["by_name"].get(defect, UNTYPED)


def is_compared(dataset: str, category: str, defect: str) -> bool:
    """Whether a defect is one of MVTec AD's 52 in the comparison's tables; all of other data sets are."""
    if dataset != "mvtec_ad":
        return True
    known = _read()["mvtec_ad"].get(category, {}).get(defect)
    return bool(known and known[1])


def groups(dataset: str, categories: Sequence[str]) -> dict[str, list[str]]:
    """The categories by group, in the comparison's order; those without one last, as `UNGROUPED`."""
    named = comparison()["object_groups"] if dataset == "mvtec_ad" else _read()["groups"].get(dataset, {})
    found = {group: [name for name in members if name in categories] for group, members in named.items()}
    placed = {name for members in found.values() for name in members}
    found[UNGROUPED] = [name for name in categories if name not in placed]
    return {group: members for group, members in found.items() if members}


def levels_of(
    contrasts: Sequence[float], bounds: tuple[float, float] | None
) -> tuple[list[str], list[float]]:
    """Low, medium or high for each contrast, and the two bounds: those given, or the terciles.

    >>> levels_of([0.1, 0.5, 0.9], None)[0]
    ['low', 'medium', 'high']
    """
    used = [float(x) for x in (np.quantile(contrasts, [1 / 3, 2 / 3]) if bounds is None else bounds)]
    return [LEVELS[int(value > used[0]) + int(value > used[1])] for value in contrasts], used


@cache
def _read() -> dict[str, Any]:
    return json.loads(files(__package__).joinpath("definitions.json").read_text("utf-8"))
