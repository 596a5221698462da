"""The images that were dropped on the page, and what a detector says of them; for any number of threads."""

from __future__ import annotations

import dataclasses
import io
import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image

from vlmad_jax.data.images import decode_image, is_image, resize_image
from vlmad_jax.errors import InputError
from vlmad_jax.inspection.detector import FittedDetector
from vlmad_jax.inspection.journal import Row
from vlmad_jax.inspection.outputs import heat_layer
from vlmad_jax.inspection.prompts import Words, reworded
from vlmad_jax.inspection.stream import Judged, Key

MOST_IMAGES = 100
MOST_BYTES = 2**30  # of all files together
SIDE = 1200  # pixels of the longer side as shown

Mark = Literal["good", "bad"]


class Judges(NamedTuple):
    """Who judges: the detector, and the same with the words that are tried, if any."""

    own: FittedDetector
    trial: FittedDetector | None = None
    words: Words | None = None


class Opinion(NamedTuple):
    """What a detector says of an image, and its heat map as a PNG file."""

    row: Row
    heat: bytes


@dataclass(frozen=True, eq=False)
class Shown:
    """An image on the page.

    Attributes:
      number: its own, never given again.
      name: for people; nothing is ever opened by it.
      content: the file as it came.
      canvas: as detectors see it, uint8 (*canvas, 3).
      size: (height, width).
      image: as people see it, a JPEG file.
      own: what the detector says.
      trial: what it says with the words that are tried.
      mark: what people say.
      reference: whether the detector was made with it.
    """

    number: int
    name: str
    content: bytes
    canvas: np.ndarray
    size: tuple[int, int]
    image: bytes
    own: Opinion
    trial: Opinion | None
    mark: Mark | None = None
    reference: bool = False

    def describe(self) -> dict[str, Any]:
        """All but files and arrays."""
        return {
            "number": self.number,
            "name": self.name,
            "size": self.size,
            "mark": self.mark,
            "reference": self.reference,
            "own": self.own.row.as_dict(),
            "trial": None if self.trial is None else self.trial.row.as_dict(),
        }


class Session:
    """Images, and who judges them. What is slow is done outside of the lock."""

    def __init__(self, detector: FittedDetector) -> None:
        self.judges = Judges(detector)
        self.images: dict[int, Shown] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._changing = threading.Lock()

    def add(self, name: str, content: bytes) -> Shown:
        """An image judged and kept.

        Raises:
          InputError: it does not decode, or there are too many.
        """
        if not is_image(Path("x" + Path(name).suffix)):
            raise InputError(f"{name}: is no image by its name ({Path(name).suffix or 'no suffix'})")
        self._check_room(name, content)
        image = decode_image(content, name)
        canvas, size = resize_image(image, self.judges.own.canvas), (image.height, image.width)
        shown = _as_shown(image)
        while True:
            judges = self.judges
            own = _opinion(judges.own, name, canvas, size)
            trial = _trial(judges, name, canvas, size)
            with self._lock:
                if self.judges is judges:  # else they were replaced meanwhile
                    self._check_room(name, content)
                    added = Shown(next(self._numbers), name, content, canvas, size, shown, own, trial)
                    self.images[added.number] = added
                    return added

    def _check_room(self, name: str, content: bytes) -> None:
        held = sum(len(shown.content) for shown in list(self.images.values()))
        if len(self.images) >= MOST_IMAGES or held + len(content) > MOST_BYTES:
            raise InputError(
                f"{name}: there are {len(self.images)} images of {held / 2**20:.0f} MB already; "
                "remove some, or judge folders with experiments.predict"
            )

    def get(self, number: int) -> Shown:
        """An image; raises InputError if there is none of that number."""
        if shown := self.images.get(number):
            return shown
        raise InputError(f"image {number} is not there any more; load the page again")

    def remove(self, number: int) -> None:
        """Forgets an image, if it is there."""
        with self._lock:
            self.images.pop(number, None)

    def mark(self, number: int, mark: Mark | None) -> Shown:
        """Keeps what people say of an image; None takes it back."""
        with self._lock:
            marked = self.images[number] = dataclasses.replace(self.get(number), mark=mark)
            return marked

    def marked(self, mark: Mark) -> list[Shown]:
        """The images that were marked so."""
        with self._lock:
            return [shown for shown in self.images.values() if shown.mark == mark]

    def try_words(self, words: Words | None) -> None:
        """Judges all images with other words too; None ends that."""
        with self._changing:
            own = self.judges.own
            trial = None if words is None else reworded(own, words)
            self._adopt(Judges(own, trial, words), lambda shown: shown)

    def replace(self, detector: FittedDetector, references: set[int]) -> None:
        """Judges all images by another detector, which was made with some of them."""
        with self._changing:
            self._adopt(Judges(detector), lambda shown: _told(shown, detector, references))

    def _adopt(self, judges: Judges, told: Callable[[Shown], Shown]) -> None:
        """Puts judges in place once they have judged all images, those that came meanwhile too."""
        seen: dict[int, tuple[Opinion, Opinion | None]] = {}
        while True:
            with self._lock:
                waiting = [shown for number, shown in self.images.items() if number not in seen]
                if not waiting:
                    for number, shown in self.images.items():
                        own, trial = seen[number]
                        self.images[number] = dataclasses.replace(told(shown), own=own, trial=trial)
                    self.judges = judges
                    return
            for shown in waiting:
                same = judges.own is self.judges.own
                own = shown.own if same else _opinion(judges.own, shown.name, shown.canvas, shown.size)
                seen[shown.number] = own, _trial(judges, shown.name, shown.canvas, shown.size)


def _told(shown: Shown, detector: FittedDetector, references: set[int]) -> Shown:
    """An image after a refit: what it was made with is no longer there to be put right."""
    if shown.number not in references:
        return shown
    return dataclasses.replace(shown, mark=None, reference=True)


def _opinion(detector: FittedDetector, name: str, canvas: np.ndarray, size: tuple[int, int]) -> Opinion:
    detector.scorer.warm_up(detector.state)
    began = time.perf_counter()
    result = detector.judge(canvas[None], [size])[0]
    judged = Judged(Key(name), canvas, result, 1000 * (time.perf_counter() - began))
    return Opinion(Row.of(judged), heat_layer(result))


def _trial(judges: Judges, name: str, canvas: np.ndarray, size: tuple[int, int]) -> Opinion | None:
    return None if judges.trial is None else _opinion(judges.trial, name, canvas, size)


def _as_shown(image: Image.Image) -> bytes:
    """A JPEG file of at most `SIDE` pixels a side."""
    small = image.copy()
    small.thumbnail((SIDE, SIDE))
    data = io.BytesIO()
    small.save(data, "JPEG", quality=90)
    return data.getvalue()
