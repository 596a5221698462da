"""The results of pictures on disk as they come: whatever ends a run, what it wrote is whole and is kept.

config.json    the detector's checksum and what else the results depend on
scores.jsonl   a line a picture
scores.csv     the same
maps/          heat maps, if they were asked for
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from vlmad_jax.errors import InputError
from vlmad_jax.files import write_atomically
from vlmad_jax.folder import take_folder
from vlmad_jax.inspection.judged import Key
from vlmad_jax.inspection.rows import COLUMNS, Row, csv_line, read_row

LINES = "scores.jsonl"
TABLE = "scores.csv"
OUTPUTS = (LINES, TABLE, "maps")


class Journal:
    """Rows in `out`, those of an earlier run of the same `config` first; a context manager.

    Rows of pictures that failed are forgotten, so that they are tried again. `done` are the pictures that the
    earlier run left, `bad` how many of them were.

    Raises:
      InputError: `out` holds something else or another run, or cannot be written.
    """

    def __init__(self, out: Path, config: dict[str, Any], resume: bool) -> None:
        take_folder(out, config, OUTPUTS, resume)
        self.out = out
        self.done: set[Key] = set()
        self.bad = 0
        write_atomically(out / LINES, (_bytes(row.as_json()) for row in _kept(out / LINES)))
        write_atomically(out / TABLE, self._table())

    def _table(self) -> Iterator[bytes]:
        yield _bytes(csv_line(COLUMNS))
        for row in _kept(self.out / LINES):
            self.done.add(row.key)
            self.bad += row.decision == "bad"
            yield _bytes(row.as_csv())

    def __enter__(self) -> Self:
        # Unbuffered: a line is with the operating system, whole, before the next picture is begun.
        self._files = [open(self.out / name, "ab", buffering=0) for name in (LINES, TABLE)]  # noqa: SIM115
        return self

    def __exit__(self, *error: object) -> None:
        for file in self._files:
            file.close()

    def add(self, row: Row) -> None:
        """Writes a row to both files; raises InputError, and leaves no part of it, where there is no room."""
        ends = [os.fstat(file.fileno()).st_size for file in self._files]
        try:
            for file, line in zip(self._files, (row.as_json(), row.as_csv()), strict=True):
                _write(file, _bytes(line))
        except OSError as error:
            for file, end in zip(self._files, ends, strict=True):
                os.ftruncate(file.fileno(), end)
            raise InputError(
                f"{self.out}: cannot be written ({error.strerror}); what is done is kept, mend it and go on"
            ) from error


def _kept(path: Path) -> Iterator[Row]:
    """The rows of an earlier run without those that failed, and without a last line that was cut short."""
    if not path.exists():
        return
    with open(path, encoding="utf-8") as file:
        for line in file:
            try:
                row = read_row(line)
            except (ValueError, KeyError, TypeError):
                continue
            if row.error is None:
                yield row


def _write(file: Any, data: bytes) -> None:
    """All of it: a disk that fills up takes a part, and refuses at the next try."""
    while data:
        data = data[file.write(data) :]


def _bytes(line: str) -> bytes:
    return line.encode("utf-8", "surrogateescape")
