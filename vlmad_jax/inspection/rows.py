"""What is written of an image: a line of JSON, a row of a table, and a row of another table for each box."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vlmad_jax.inspection.boxes import Box
from vlmad_jax.inspection.detector import FittedDetector
from vlmad_jax.inspection.judged import Judged, Key, judge_files
from vlmad_jax.runtime.files import csv_line

BOX_COLUMNS = ("path", "frame", *Box._fields)
COLUMNS = ("path", "frame", "score", "probability", "decision", "boxes", "milliseconds", "error", "content")


@dataclass(frozen=True)
class Row:
    """An image judged: `decision` is "good" or "bad"; all is None but the path and the error if it failed.

    Attributes:
      path: of the image or the video.
      frame: of a video or of a file of several images, from 0.
      score: as the detector gives it.
      probability: that it is bad, 0 to 1.
      decision: "good" or "bad".
      boxes: of the defects, in pixels of the image, worst first.
      milliseconds: for decoding, and its share of the batch's computing.
      error: why it could not be judged.
      content: 32 hexadecimal digits that change with the content of the file; None if it changed meanwhile.
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
    def of(cls, judged: Judged) -> Row:
        """The row of an image."""
        result = judged.result
        if result is None:
            return cls(*judged.key, error=judged.error)
        return cls(
            *judged.key,
            score=_shortest(result.image),
            probability=round(result.probability, 6),
            decision="bad" if result.bad else "good",
            boxes=tuple(box._replace(peak=_shortest(box.peak)) for box in result.boxes),
            milliseconds=round(judged.milliseconds, 2),
            content=judged.file.digest or None,
        )

    @property
    def key(self) -> Key:
        """Which image it is of."""
        return Key(self.path, self.frame)

    def as_dict(self) -> dict[str, Any]:
        """The fields by name; a box is {"x", "y", "width", "height", "peak"}."""
        boxes = None if self.boxes is None else [box._asdict() for box in self.boxes]
        return {name: getattr(self, name) for name in COLUMNS} | {"boxes": boxes}

    def as_json(self) -> str:
        """A line of JSON."""
        return json.dumps(self.as_dict(), allow_nan=False) + "\n"

    def as_csv(self) -> str:
        """A row of CSV, of the boxes how many there are, empty where there is nothing."""
        count = None if self.boxes is None else len(self.boxes)
        return csv_line(["" if x is None else x for x in (self.as_dict() | {"boxes": count}).values()])

    def boxes_as_csv(self) -> str:
        """A row of CSV for each box, by `BOX_COLUMNS`."""
        frame = "" if self.frame is None else self.frame
        return "".join(csv_line((self.path, frame, *box)) for box in self.boxes or ())


def read_row(line: str) -> Row:
    """The row of a line of JSON; raises ValueError, KeyError or TypeError for any other line."""
    values = json.loads(line)
    boxes = values["boxes"]
    return Row(**(values | {"boxes": None if boxes is None else tuple(Box(**box) for box in boxes)}))


def score_paths(detector: FittedDetector, paths: Sequence[str], workers: int = 0) -> Iterator[Row]:
    """The rows of every image in some files, as they are scored: of a detector and paths alone."""
    return map(Row.of, judge_files(detector, paths, workers))


def _shortest(value: float) -> float:
    """A float32 as the shortest decimal that reads back as it."""
    return float(str(np.float32(value)))
