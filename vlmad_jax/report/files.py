"""Files that are whole or not there: results as JSON, scores as CSV."""

import csv
import io
import json
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from vlmad_jax.errors import InputError


@dataclass(frozen=True)
class ScoreRow:
    """One picture of `scores.csv`; a picture that could not be read has no score, and says why."""

    path: str
    category: str
    defect: str
    label: int
    score: float | np.floating | None
    error: str = ""


COLUMNS = tuple(field.name for field in fields(ScoreRow))


def write_atomically(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write text (UTF-8) or bytes so that `path` is, at every moment, the old file or the new one, whole.

    Folders above it are made. On failure nothing is left behind; raises InputError where the operating system
    refuses (no room, no permission, a folder of that name).
    """
    path = Path(path)
    data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape")
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); choose another folder") from error


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write a value as JSON, keys in the order given, indented, with a newline at the end.

    Raises InputError for NaN and infinities, which JSON does not have.
    """
    try:
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise InputError(f"{path}: holds NaN or an infinity; write null where undefined") from error
    write_atomically(path, text + "\n")


def write_scores_csv(path: str | os.PathLike[str], rows: Iterable[ScoreRow]) -> None:
    """Write `scores.csv`: a header, then one row a picture.

    A score is the shortest decimal that reads back as the same number of its type, so that a float32 score
    survives writing and reading, and reading and writing again gives the same bytes.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        score = "" if row.score is None else str(row.score)
        writer.writerow([row.path, row.category, row.defect, row.label, score, row.error])
    write_atomically(path, text.getvalue())


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
        picture, category, defect, label, score, error = row
        return ScoreRow(picture, category, defect, int(label), float(score) if score else None, error)
    except ValueError as cause:
        raise InputError(
            f"{path}: row {number} is damaged ({','.join(row)!r}); make the file again"
        ) from cause
