"""The row of each image, and the files that keep the rows of a run.

A row is written whole before the next image is scored, so that a run can be interrupted at any time and
resumed. Tables begin with a byte order mark, by which spreadsheets recognise UTF-8.

config.json    the detector's checksum and everything else that the results depend on
scores.jsonl   one line per image
scores.csv     the same as a table, with the number of boxes
boxes.csv      a table with one row per box
maps/          heat maps, if they were asked for
"""

from __future__ import annotations

import codecs
import contextlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from vlmad_jax.errors import InputError
from vlmad_jax.inspection.detector import Box, FittedDetector
from vlmad_jax.inspection.stream import Key, ScoredImage, score_files
from vlmad_jax.runtime.contents import digests_of
from vlmad_jax.runtime.environment import FILE, write_environment
from vlmad_jax.runtime.files import csv_line, write_atomically
from vlmad_jax.runtime.notices import print_stderr
from vlmad_jax.runtime.run_folder import prepare_run_folder

BOX_COLUMNS = ("path", "frame", *Box._fields)
COLUMNS = ("path", "frame", "score", "probability", "decision", "boxes", "milliseconds", "error", "content")


@dataclass(frozen=True)
class Row:
    """The result of an image as it is written; an image that failed has only its key and the error.

    Attributes:
      path: path of the image or the video.
      frame: frame in a video or in a file of several images, from 0.
      score: image score.
      probability: probability that the image is bad, 0 to 1.
      decision: "good" or "bad".
      boxes: boxes of the defects in pixels of the image, highest peak first.
      milliseconds: time of decoding, and the image's share of the time in which its batch was scored.
      error: why the image could not be scored.
      content: 32 hexadecimal digits that change with the content of the file; None if the file changed while
        it was read.
    """

    path: str
    frame: int | None = None
    score: float | None = None
    probability: float | None = None
    decision: str | None = None
    boxes: tuple[Box, ...] | None = None
    milliseconds: float | None = None
    error: str | None = None
    content: str | None = None

    @classmethod
    def of(cls, scored: ScoredImage) -> Row:
        """Return the row of an image."""
        result = scored.result
        if result is None:
            return cls(*scored.key, error=scored.error)
        return cls(
            *scored.key,
            score=_shortest(result.image),
            probability=round(result.probability, 6),
            decision="bad" if result.bad else "good",
            boxes=tuple(box._replace(peak=_shortest(box.peak)) for box in result.boxes),
            milliseconds=round(scored.milliseconds, 2),
            content=scored.file.digest or None,
        )

    @property
    def key(self) -> Key:
        """The image."""
        return Key(self.path, self.frame)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name; a box is {"x", "y", "width", "height", "peak"}."""
        boxes = None if self.boxes is None else [box._asdict() for box in self.boxes]
        return {name: getattr(self, name) for name in COLUMNS} | {"boxes": boxes}

    def as_json(self) -> str:
        """Return a line of JSON."""
        return json.dumps(self.as_dict(), allow_nan=False) + "\n"

    def as_csv(self) -> str:
        """Return a row of CSV, with the number of boxes, and empty cells for None."""
        count = None if self.boxes is None else len(self.boxes)
        return csv_line(["" if x is None else x for x in (self.as_dict() | {"boxes": count}).values()])

    def boxes_as_csv(self) -> str:
        """Return a row of CSV for each box, in the order of `BOX_COLUMNS`."""
        frame = "" if self.frame is None else self.frame
        return "".join(csv_line((self.path, frame, *box)) for box in self.boxes or ())


def read_row(line: str) -> Row:
    """Read the row in a line of JSON; raise ValueError, KeyError or TypeError for any other line."""
    values = json.loads(line)
    boxes = values["boxes"]
    return Row(**(values | {"boxes": None if boxes is None else tuple(Box(**box) for box in boxes)}))


def rows_of_files(detector: FittedDetector, paths: Sequence[str], workers: int = 0) -> Iterator[Row]:
    """Score the images in files, see `score_files`, and yield their rows."""
    return map(Row.of, score_files(detector, paths, workers))


def _shortest(value: float) -> float:
    """Round a float32 to the shortest decimal that reads back as the same float32."""
    return float(str(np.float32(value)))


LINES = "scores.jsonl"
TABLE = "scores.csv"
BOXES = "boxes.csv"
MAPS = "maps"
OUTPUTS = (LINES, TABLE, BOXES, MAPS, FILE)


class Kept(NamedTuple):
    """The part of a stored row that a later run needs: the digest of the file's content, and the decision."""

    content: str | None
    bad: bool


class Journal:
    """The rows in `out`, which follow those of an earlier run of the same `config`; a context manager.

    Rows of images that failed are removed, so that these images are tried again.

    Attributes:
      out: the folder.
      done: images that have a row from an earlier run, in the order of their rows; the last row counts.

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
        """Remove the rows of images; only before the first row is added."""
        self._rewrite(lambda row: row.key not in keys)

    def forget_changed(self, paths: Iterable[str], sequences: Mapping[str, Sequence[str]]) -> None:
        """Remove the rows of files whose content changed since they were scored, and say how many.

        Args:
          paths: the files that exist now.
          sequences: folders with their files in order, whose decisions depend on the files before. Where one
            changed, was inserted or was removed, the rows of the whole sequence are removed.
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
            print_stderr(f"files scored again because their content changed: {len(changed)}")
            self.forget({key for key in self.done if key.path in changed})

    def unchanged(self) -> dict[Key, Kept]:
        """Return the rows of files whose content is the same as when they were scored."""
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
        # Unbuffered, so that the operating system has a line whole before the next image is scored.
        self._files = [open(self.out / name, "ab", buffering=0) for name in (LINES, TABLE, BOXES)]  # noqa: SIM115
        return self

    def __exit__(self, *error: object) -> None:
        for file in self._files:
            file.close()

    def add(self, row: Row) -> None:
        """Write a row to all files, or to none and raise InputError if the disk refuses."""
        ends = [os.fstat(file.fileno()).st_size for file in self._files]
        written = row.as_json(), row.as_csv(), row.boxes_as_csv()
        try:
            for file, line in zip(self._files, written, strict=True):
                _write(file, _bytes(line))
        except OSError as error:
            for file, end in zip(self._files, ends, strict=True):
                os.ftruncate(file.fileno(), end)
            raise InputError(
                f"{self.out}: cannot be written ({error.strerror}); "
                "finished rows are kept: make room, and run the same command again"
            ) from error


def _rows(path: Path) -> Iterator[Row]:
    """Yield the rows of an earlier run, without a last line that was cut short."""
    if not path.exists():
        return
    with open(path, encoding="utf-8") as file:
        for line in file:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                yield read_row(line)


def _write(file: Any, data: bytes) -> None:
    """Write all data: a disk that fills up takes a part of it, and refuses the next write."""
    while data:
        data = data[file.write(data) :]


def _bytes(line: str) -> bytes:
    return line.encode("utf-8", "surrogateescape")
