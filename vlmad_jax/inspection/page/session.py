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
from vlmad_jax.inspection.prompts import Prompts, reworded
from vlmad_jax.inspection.stream import Key, ScoredImage

MAX_IMAGES = 100
MAX_BYTES = 2**30  # of all files together
SIDE = 1200  # pixels of the longer side as shown

Mark = Literal["good", "bad"]


class Detectors(NamedTuple):
    """Who detectors: the detector, and the same with the prompts that are tried, if any."""

    own: FittedDetector
    trial: FittedDetector | None = None
    prompts: Prompts | None = None


class Prediction(NamedTuple):
    """What a detector says of an image, and its heat map as a PNG file."""

    row: Row
    heat: bytes


@dataclass(frozen=True, eq=False)
class PageImage:
    """An image on the page.

    Attributes:
      number: its own, never given again.
      name: for people; nothing is ever opened by it.
      content: the file as it came.
      canvas: as detectors see it, uint8 (*canvas, 3).
      size: (height, width).
      image: as people see it, a JPEG file.
      own: what the detector says.
      trial: what it says with the prompts that are tried.
      mark: what people say.
      reference: whether the detector was made with it.
    """

    number: int
    name: str
    content: bytes
    canvas: np.ndarray
    size: tuple[int, int]
    image: bytes
    own: Prediction
    trial: Prediction | None
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
        self.detectors = Detectors(detector)
        self.images: dict[int, PageImage] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._changing = threading.Lock()

    def add(self, name: str, content: bytes) -> PageImage:
        """An image scored and kept.

        Raises:
          InputError: it does not decode, or there are too many.
        """
        if not is_image(Path("x" + Path(name).suffix)):
            raise InputError(f"{name}: is no image by its name ({Path(name).suffix or 'no suffix'})")
        self._check_room(name, content)
        image = decode_image(content, name)
        canvas, size = resize_image(image, self.detectors.own.canvas), (image.height, image.width)
        shown = _as_shown(image)
        while True:
            detectors = self.detectors
            own = _predicted(detectors.own, name, canvas, size)
            trial = _trial(detectors, name, canvas, size)
            with self._lock:
                if self.detectors is detectors:  # else they were replaced meanwhile
                    self._check_room(name, content)
                    added = PageImage(next(self._numbers), name, content, canvas, size, shown, own, trial)
                    self.images[added.number] = added
                    return added

    def _check_room(self, name: str, content: bytes) -> None:
        held = sum(len(shown.content) for shown in list(self.images.values()))
        if len(self.images) >= MAX_IMAGES or held + len(content) > MAX_BYTES:
            raise InputError(
                f"{name}: there are {len(self.images)} images of {held / 2**20:.0f} MB already; "
                "remove some, or judge folders with experiments.predict"
            )

    def get(self, number: int) -> PageImage:
        """An image; raises InputError if there is none of that number."""
        if shown := self.images.get(number):
            return shown
        raise InputError(f"image {number} is not there any more; load the page again")

    def remove(self, number: int) -> None:
        """Forgets an image, if it is there."""
        with self._lock:
            self.images.pop(number, None)

    def mark(self, number: int, mark: Mark | None) -> PageImage:
        """Keeps what people say of an image; None takes it back."""
        with self._lock:
            marked = self.images[number] = dataclasses.replace(self.get(number), mark=mark)
            return marked

    def marked(self, mark: Mark) -> list[PageImage]:
        """The images that were marked so."""
        with self._lock:
            return [shown for shown in self.images.values() if shown.mark == mark]

    def try_prompts(self, prompts: Prompts | None) -> None:
        """Judges all images with other prompts too; None ends that."""
        with self._changing:
            own = self.detectors.own
            trial = None if prompts is None else reworded(own, prompts)
            self._adopt(Detectors(own, trial, prompts), lambda shown: shown)

    def replace(self, detector: FittedDetector, references: set[int]) -> None:
        """Judges all images by another detector, which was made with some of them."""
        with self._changing:
            self._adopt(Detectors(detector), lambda shown: _told(shown, detector, references))

    def _adopt(self, detectors: Detectors, told: Callable[[PageImage], PageImage]) -> None:
        """Puts judges in place once they have scored all images, those that came meanwhile too."""
        seen: dict[int, tuple[Prediction, Prediction | None]] = {}
        while True:
            with self._lock:
                waiting = [shown for number, shown in self.images.items() if number not in seen]
                if not waiting:
                    for number, shown in self.images.items():
                        own, trial = seen[number]
                        self.images[number] = dataclasses.replace(told(shown), own=own, trial=trial)
                    self.detectors = detectors
                    return
            for shown in waiting:
                same = detectors.own is self.detectors.own
                own = shown.own if same else _predicted(detectors.own, shown.name, shown.canvas, shown.size)
                seen[shown.number] = own, _trial(detectors, shown.name, shown.canvas, shown.size)


def _told(shown: PageImage, detector: FittedDetector, references: set[int]) -> PageImage:
    """An image after a refit: what it was made with is no longer there to be put right."""
    if shown.number not in references:
        return shown
    return dataclasses.replace(shown, mark=None, reference=True)


def _predicted(detector: FittedDetector, name: str, canvas: np.ndarray, size: tuple[int, int]) -> Prediction:
    detector.scorer.warm_up(detector.state)
    began = time.perf_counter()
    result = detector.score(canvas[None], [size])[0]
    scored = ScoredImage(Key(name), canvas, result, 1000 * (time.perf_counter() - began))
    return Prediction(Row.of(scored), heat_layer(result))


def _trial(detectors: Detectors, name: str, canvas: np.ndarray, size: tuple[int, int]) -> Prediction | None:
    return None if detectors.trial is None else _predicted(detectors.trial, name, canvas, size)


def _as_shown(image: Image.Image) -> bytes:
    """A JPEG file of at most `SIDE` pixels a side."""
    small = image.copy()
    small.thumbnail((SIDE, SIDE))
    data = io.BytesIO()
    small.save(data, "JPEG", quality=90)
    return data.getvalue()
