"""The results of images on disk as they come: whatever ends a run, what it wrote is whole and is kept.

Tables begin with a byte order mark, by which spreadsheets know that they are UTF-8.

config.json    the detector's checksum and what else the results depend on
scores.jsonl   a line an image
scores.csv     the same as a table, with the number of boxes
boxes.csv      a table of the boxes, a row each
maps/          heat maps, if they were asked for
"""

from __future__ import annotations

import codecs
import contextlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from vlmad_jax.errors import InputError
from vlmad_jax.inspection.judged import Key
from vlmad_jax.inspection.map_places import MAPS
from vlmad_jax.inspection.rows import BOX_COLUMNS, COLUMNS, Row, csv_line, read_row
from vlmad_jax.runtime.contents import digests_of
from vlmad_jax.runtime.environment import FILE, write_environment
from vlmad_jax.runtime.files import write_atomically
from vlmad_jax.runtime.notices import print_stderr
from vlmad_jax.runtime.run_folder import prepare_run_folder

LINES = "scores.jsonl"
TABLE = "scores.csv"
BOXES = "boxes.csv"
OUTPUTS = (LINES, TABLE, BOXES, MAPS, FILE)


class Kept(NamedTuple):
    """What is known of an image from its row: the digest of its file's content, and the decision."""

    content: str | None
    bad: bool


class Journal:
    """Rows in `out`, those of an earlier run of the same `config` first; a context manager.

    Rows of images that failed are forgotten, so that they are tried again. `done` are the images that the
    earlier run left, by their keys in the order of their rows; of an image with several, the last.

    Raises:
      InputError: `out` holds something else or another run, or cannot be written.
    """

    def __init__(self, out: Path, config: dict[str, Any], resume: bool) -> None:
        prepare_run_folder(out, config, OUTPUTS, resume)
        write_environment(out)
        self.out = out
        self.done: dict[Key, Kept] = {}
        self._rewrite(lambda row: row.error is None)

    def forget(self, keys: Collection[Key]) -> None:
        """Removes the rows of some images; before the first is added."""
        self._rewrite(lambda row: row.key not in keys)

    def forget_changed(self, paths: Iterable[str], sequences: Mapping[str, Sequence[str]]) -> None:
        """Removes the rows of files whose content is another than when they were judged, and says so.

        Args:
          paths: the files that are there.
          sequences: by folder, in order, those whose decision depends on the ones before; where one changed,
            came in between or is gone, the rows of all go.
        """
        contents = digests_of(set(paths).intersection(key.path for key in self.done))
        changed = {
            key.path
            for key, row in self.done.items()
            if key.path in contents and row.content != contents[key.path]
        }
        rows: dict[str, list[str]] = {}
        for key in self.done:
            rows.setdefault(os.path.dirname(key.path), []).append(key.path)
        for folder, frames in sequences.items():
            before = [path for path in rows.get(folder, ()) if path not in sequences]
            if frames and (changed.intersection(frames) or before != list(frames[: len(before)])):
                changed.update(before)
        if changed:
            print_stderr(f"files judged again, because their content changed: {len(changed)}")
            self.forget({key for key in self.done if key.path in changed})

    def unchanged(self) -> dict[Key, Kept]:
        """The rows of files that hold what they held when they were judged."""
        contents = digests_of(key.path for key in self.done)
        return {key: row for key, row in self.done.items() if row.content == contents[key.path] != ""}

    def _rewrite(self, wanted: Callable[[Row], bool]) -> None:
        lines = self.out / LINES
        write_atomically(lines, (_bytes(row.as_json()) for row in _rows(lines) if wanted(row)))
        self.done = {}
        write_atomically(self.out / TABLE, self._table())
        write_atomically(self.out / BOXES, self._boxes())

    def _table(self) -> Iterator[bytes]:
        yield codecs.BOM_UTF8 + _bytes(csv_line(COLUMNS))
        for row in _rows(self.out / LINES):
            self.done.pop(row.key, None)
            self.done[row.key] = Kept(row.content, row.decision == "bad")
            yield _bytes(row.as_csv())

    def _boxes(self) -> Iterator[bytes]:
        yield codecs.BOM_UTF8 + _bytes(csv_line(BOX_COLUMNS))
        for row in _rows(self.out / LINES):
            yield _bytes(row.boxes_as_csv())

    def __enter__(self) -> Self:
        # Unbuffered: a line is with the operating system, whole, before the next image is begun.
        self._files = [open(self.out / name, "ab", buffering=0) for name in (LINES, TABLE, BOXES)]  # noqa: SIM115
        return self

    def __exit__(self, *error: object) -> None:
        for file in self._files:
            file.close()

    def add(self, row: Row) -> None:
        """Writes a row to all files; raises InputError, and leaves no part of it, where there is no room."""
        ends = [os.fstat(file.fileno()).st_size for file in self._files]
        written = row.as_json(), row.as_csv(), row.boxes_as_csv()
        try:
            for file, line in zip(self._files, written, strict=True):
                _write(file, _bytes(line))
        except OSError as error:
            for file, end in zip(self._files, ends, strict=True):
                os.ftruncate(file.fileno(), end)
            raise InputError(
                f"{self.out}: cannot be written ({error.strerror}); what is done is kept, mend it and go on"
            ) from error


def _rows(path: Path) -> Iterator[Row]:
    """The rows of an earlier run, without a last line that was cut short."""
    if not path.exists():
        return
    with open(path, encoding="utf-8") as file:
        for line in file:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                yield read_row(line)


def _write(file: Any, data: bytes) -> None:
    """All of it: a disk that fills up takes a part, and refuses at the next try."""
    while data:
        data = data[file.write(data) :]


def _bytes(line: str) -> bytes:
    return line.encode("utf-8", "surrogateescape")
