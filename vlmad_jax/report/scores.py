"""Scores as CSV, a row an image."""

import csv
import os
from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np

from vlmad_jax.errors import InputError
from vlmad_jax.runtime.files import csv_line, write_atomically


@dataclass(frozen=True)
class ScoreRow:
    """One image of `scores.csv`; an image that could not be read has no score, and says why."""

    path: str
    category: str
    defect: str
    label: int
    score: float | np.floating | None
    error: str = ""


COLUMNS = tuple(field.name for field in fields(ScoreRow))


def write_scores_csv(path: str | os.PathLike[str], rows: Iterable[ScoreRow]) -> None:
    """Write `scores.csv`: a header, then one row an image.

    A score is the shortest decimal that reads back as the same number of its type, so that a float32 score
    survives writing and reading, and reading and writing again gives the same bytes.
    """
    lines = [csv_line(COLUMNS)]
    for row in rows:
        score = "" if row.score is None else str(row.score)
        lines.append(csv_line([row.path, row.category, row.defect, row.label, score, row.error]))
    write_atomically(path, "".join(lines))


def read_scores_csv(path: str | os.PathLike[str]) -> list[ScoreRow]:
    """Read what `write_scores_csv` wrote, scores as Python floats.

    Raises InputError, naming file and row, for a missing file, other columns, or a label or score that is not
    a number.
    """
    try:
        with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
            header, *rows = list(csv.reader(file)) or [[]]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a scores.csv of a run") from error
    if tuple(header) != COLUMNS:
        raise InputError(f"{path}: columns are {','.join(header)}; expected {','.join(COLUMNS)}")
    return [_parsed(path, number, row) for number, row in enumerate(rows, 1)]


def _parsed(path: str | os.PathLike[str], number: int, row: list[str]) -> ScoreRow:
    try:
        image, category, defect, label, score, error = row
        return ScoreRow(image, category, defect, int(label), float(score) if score else None, error)
    except ValueError as cause:
        raise InputError(
            f"{path}: row {number} is damaged ({','.join(row)!r}); make the file again"
        ) from cause
