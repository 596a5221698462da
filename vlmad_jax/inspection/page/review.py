"""The state and the actions of the page, without HTTP."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vlmad_jax.errors import InputError
from vlmad_jax.inspection.detector import FittedDetector
from vlmad_jax.inspection.page.refit import Refitter
from vlmad_jax.inspection.page.session import Session
from vlmad_jax.inspection.prompts import prompts_of, why_no_prompts
from vlmad_jax.inspection.saved import load_again, read_reference_scores, save_threshold
from vlmad_jax.runtime import names


class Review:
    """The review of a saved detector.

    Attributes:
      session: the images on the page.
      saved: directory of the detector.
      reference_scores: see `read_reference_scores`.
      refitter: makes detectors, if a folder was given for them.
      progress: number of images that the last refit has scored, and that it scores in all.
    """

    def __init__(self, detector: FittedDetector, saved: Path, refitter: Refitter | None) -> None:
        self.session = Session(detector)
        self.saved = saved
        self.reference_scores = read_reference_scores(saved)
        self.refitter = refitter
        self.progress = (0, 0)
        self._saving = threading.Lock()

    def describe(self) -> dict[str, Any]:
        """Return the whole state as JSON has it."""
        detector, _, trial = self.session.detectors
        method, description = detector.method, detector.description
        prompts, rule = prompts_of(method), description["threshold"]
        return {
            "name": names.printable(self.saved.name),
            "object": names.printable(detector.object_name),
            "method": method.name,
            "weights": names.printable(description["weights"]["name"]),
            "decision": detector.decision.describe(),
            "rule": "\n".join(rule.get("lines", [rule["text"]])),  # earlier versions stored no lines
            "reference_scores": self.reference_scores,
            "prompts": None if prompts is None else prompts.describe(),
            "trial": None if trial is None else trial.describe(),
            "why_no_prompts": why_no_prompts(method) if prompts is None else "",
            "out": None if self.refitter is None else names.printable(str(self.refitter.out)),
            "suggested": None if self.refitter is None else self.refitter.suggested(self.saved),
            "images": [image.describe() for image in list(self.session.images.values())],
        }

    def save_threshold(self, threshold: float) -> None:
        """Save another threshold into the detector, and apply it to all images.

        Raises:
          InputError: the threshold is not finite, a refit is running, or the directory was changed by
            somebody else or cannot be written.
        """
        with self._alone():
            own = self.session.detectors.own
            save_threshold(self.saved, own, threshold)
            self.session.replace(load_again(self.saved, own.method.backbone, own.batch_size), ())

    def refit(self, name: str, overwrite: bool, with_trial_prompts: bool) -> list[str]:
        """Fit a detector with the images that were marked good too, and score all images by it.

        Args:
          name: name of its directory in the folder of the refitter.
          overwrite: replace a detector of that name.
          with_trial_prompts: use the prompts on trial.

        Returns:
          One line for each file that was skipped, with the reason.

        Raises:
          InputError: there is no refitter, another refit is running, or `Refitter.refit` raises it.
        """
        if self.refitter is None:
            raise InputError("no folder to write to; start again with --out=FOLDER")
        with self._alone():
            self.progress = (0, 0)
            detectors, marked = self.session.detectors, self.session.marked("good")
            prompts = detectors.prompts if with_trial_prompts else None
            if with_trial_prompts and prompts is None:
                raise InputError("no prompts are on trial; try some first, or refit without them")
            fitted, skipped = self.refitter.refit(
                detectors.own, self.saved, marked, name, overwrite, prompts, self._set_progress
            )
            self.session.replace(fitted, {image.number for image in marked})
            self.saved = self.refitter.path(name)
            self.reference_scores = read_reference_scores(self.saved)
            return [names.printable(f"skipped: {Path(path).name}: {error}") for path, error in skipped]

    def _set_progress(self, scored: int, total: int) -> None:
        self.progress = (scored, total)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock of saving; raise InputError if another thread holds it."""
        if not self._saving.acquire(blocking=False):
            raise InputError("a refit is running; wait until it is done")
        try:
            yield
        finally:
            self._saving.release()
