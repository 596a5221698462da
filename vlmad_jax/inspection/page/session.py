"""The images on the page and their predictions; any number of threads may use a session."""

from __future__ import annotations

import dataclasses
import io
import itertools
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image

from vlmad_jax.data.images import decode_image, is_image
from vlmad_jax.errors import InputError
from vlmad_jax.inspection.detector import FittedDetector
from vlmad_jax.inspection.journal import Row
from vlmad_jax.inspection.outputs import heat_layer
from vlmad_jax.inspection.prompts import Prompts, with_other_prompts
from vlmad_jax.inspection.stream import Key, ScoredImage

MAX_IMAGES = 100
MAX_BYTES = 2**30  # of all files together
SIDE = 1200  # longer side in pixels of an image on the page

Mark = Literal["good", "bad"]


class Detectors(NamedTuple):
    """The detector, and the same detector with the prompts on trial, if there are any."""

    own: FittedDetector
    trial: FittedDetector | None = None
    prompts: Prompts | None = None


class Prediction(NamedTuple):
    """The row of an image, and its heat map as a PNG file."""

    row: Row
    heat: bytes


@dataclass(frozen=True, eq=False)
class PageImage:
    """An image on the page.

    Attributes:
      number: its number, which is not used again.
      name: its name for people; no file is opened by it.
      content: the file as it was sent.
      canvas: the resized image that is scored, uint8 (*canvas, 3).
      size: (height, width).
      image: the image as the page shows it, a JPEG file.
      own: prediction of the detector.
      trial: prediction with the prompts on trial, if there are any.
      mark: "good" or "bad" if a person marked it.
      reference: whether it is a reference image of the detector.
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
        """Return the fields that JSON can hold, without files and arrays."""
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
    """The images on the page and the detectors that score them. Slow work is done outside of the lock."""

    def __init__(self, detector: FittedDetector) -> None:
        self.detectors = Detectors(detector)
        self.images: dict[int, PageImage] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._changing = threading.Lock()

    def add(self, name: str, content: bytes) -> PageImage:
        """Score an image and keep it.

        Raises:
          InputError: the image does not decode, or there are too many images.
        """
        if not is_image(Path("x" + Path(name).suffix)):
            raise InputError(f"{name}: is not an image by its name ({Path(name).suffix or 'no suffix'})")
        self._check_room(name, content)
        image = decode_image(content, name)
        canvas, size = self.detectors.own.resize(image), (image.height, image.width)
        jpeg = _as_jpeg(image)
        while True:
            detectors = self.detectors
            own, trial = _predictions(detectors, name, canvas, size)
            with self._lock:
                if self.detectors is detectors:  # else they were replaced in the meantime
                    self._check_room(name, content)
                    added = PageImage(next(self._numbers), name, content, canvas, size, jpeg, own, trial)
                    self.images[added.number] = added
                    return added

    def _check_room(self, name: str, content: bytes) -> None:
        held = sum(len(image.content) for image in list(self.images.values()))
        if len(self.images) >= MAX_IMAGES or held + len(content) > MAX_BYTES:
            raise InputError(
                f"{name}: the page holds {len(self.images)} images of {held / 2**20:.0f} MB already; "
                "remove some, or score folders with experiments.predict"
            )

    def get(self, number: int) -> PageImage:
        """Return an image; raise InputError if no image has that number."""
        if image := self.images.get(number):
            return image
        raise InputError(f"image {number} was removed; load the page again")

    def remove(self, number: int) -> None:
        """Remove an image, if it exists."""
        with self._lock:
            self.images.pop(number, None)

    def mark(self, number: int, mark: Mark | None) -> PageImage:
        """Mark an image; None removes the mark."""
        with self._lock:
            marked = self.images[number] = dataclasses.replace(self.get(number), mark=mark)
            return marked

    def marked(self, mark: Mark) -> list[PageImage]:
        """Return the images with a mark."""
        with self._lock:
            return [image for image in self.images.values() if image.mark == mark]

    def try_prompts(self, prompts: Prompts | None) -> None:
        """Score all images with other prompts too; None ends the trial."""
        with self._changing:
            own = self.detectors.own
            trial = None if prompts is None else with_other_prompts(own, prompts)
            self._adopt(Detectors(own, trial, prompts), frozenset())

    def replace(self, detector: FittedDetector, references: Collection[int]) -> None:
        """Score all images by another detector, whose reference images include some of them."""
        with self._changing:
            self._adopt(Detectors(detector), references)

    def _adopt(self, detectors: Detectors, references: Collection[int]) -> None:
        """Replace the detectors once the new ones have scored all images, also those that were added since.

        Images among the new references lose their mark.
        """
        scored: dict[int, tuple[Prediction, Prediction | None]] = {}
        while True:
            with self._lock:
                waiting = [image for number, image in self.images.items() if number not in scored]
                if not waiting:
                    for number, image in self.images.items():
                        own, trial = scored[number]
                        image = dataclasses.replace(image, own=own, trial=trial)
                        if number in references:
                            image = dataclasses.replace(image, mark=None, reference=True)
                        self.images[number] = image
                    self.detectors = detectors
                    return
            for image in waiting:
                known = image.own if detectors.own is self.detectors.own else None
                scored[image.number] = _predictions(detectors, image.name, image.canvas, image.size, known)


def _predictions(
    detectors: Detectors,
    name: str,
    canvas: np.ndarray,
    size: tuple[int, int],
    own: Prediction | None = None,
) -> tuple[Prediction, Prediction | None]:
    """Score an image by the detector, unless its prediction is known, and by the one on trial."""
    own = own or _predict(detectors.own, name, canvas, size)
    return own, None if detectors.trial is None else _predict(detectors.trial, name, canvas, size)


def _predict(detector: FittedDetector, name: str, canvas: np.ndarray, size: tuple[int, int]) -> Prediction:
    detector.warm_up()
    began = time.perf_counter()
    result = detector.score(canvas[None], [size])[0]
    scored = ScoredImage(Key(name), canvas, result, 1000 * (time.perf_counter() - began))
    return Prediction(Row.of(scored), heat_layer(result))


def _as_jpeg(image: Image.Image) -> bytes:
    """Return a JPEG file of at most `SIDE` pixels a side."""
    small = image.copy()
    small.thumbnail((SIDE, SIDE))
    data = io.BytesIO()
    small.save(data, "JPEG", quality=90)
    return data.getvalue()
