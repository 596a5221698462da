"""Image scores as CSV, one row per image."""

import csv
import os
from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np

from vlmad_jax.errors import InputError
from vlmad_jax.runtime.files import csv_line, write_atomically


@dataclass(frozen=True)
class ScoreRow:
    """One row of `scores.csv`. An image that could not be read has an error instead of a score."""

    path: str
    category: str
    defect: str
    label: int
    score: float | np.floating | None
    error: str = ""


COLUMNS = tuple(field.name for field in fields(ScoreRow))


def write_scores_csv(path: str | os.PathLike[str], rows: Iterable[ScoreRow]) -> None:
    """Write `scores.csv`: a header and one row per image.

    Each score is the shortest decimal that gives the same number of its type when it is read, so float32
    scores are preserved exactly, and writing the rows that were read gives the same bytes.
    """
    lines = [csv_line(COLUMNS)]
    for row in rows:
        score = "" if row.score is None else str(row.score)
        lines.append(csv_line([row.path, row.category, row.defect, row.label, score, row.error]))
    write_atomically(path, "".join(lines))


def read_scores_csv(path: str | os.PathLike[str]) -> list[ScoreRow]:
    """Read a file that `write_scores_csv` wrote. Scores are Python floats.

    Raises:
      InputError: The file is missing or has other columns, or a label or score is not a number. The message
        names the file and the row.
    """
    try:
        with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
            header, *rows = list(csv.reader(file)) or [[]]
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); give the scores.csv of a run"
        ) from error
    if tuple(header) != COLUMNS:
        raise InputError(f"{path}: columns are {','.join(header)}; expected {','.join(COLUMNS)}")
    return [_parsed(path, number, row) for number, row in enumerate(rows, 1)]


def _parsed(path: str | os.PathLike[str], number: int, row: list[str]) -> ScoreRow:
    try:
        image, category, defect, label, score, error = row
        return ScoreRow(image, category, defect, int(label), float(score) if score else None, error)
    except ValueError as cause:
        raise InputError(
            f"{path}: row {number} is damaged ({','.join(row)!r}); write the file again"
        ) from cause
