"""All that the page shows and can do, apart from HTTP."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from vlmad_jax.errors import InputError
from vlmad_jax.inspection.detector import FittedDetector
from vlmad_jax.inspection.page.refit import Workshop
from vlmad_jax.inspection.page.session import Session
from vlmad_jax.inspection.store import good_scores, load_again, save_threshold
from vlmad_jax.inspection.words import why_none, words_of
from vlmad_jax.runtime import names


class Desk:
    """A saved detector, the images it is shown, and where it is refitted, if anywhere."""

    def __init__(self, detector: FittedDetector, saved: Path, workshop: Workshop | None) -> None:
        self.session = Session(detector)
        self.saved = saved
        self.good = good_scores(saved)
        self.workshop = workshop
        self._refitting = threading.Lock()

    def describe(self) -> dict[str, Any]:
        """The whole state, as JSON has it."""
        detector, _, trial = self.session.judges
        method, description = detector.scorer.detector, detector.description
        words = words_of(method)
        return {
            "name": names.printable(self.saved.name),
            "object": names.printable(detector.object_name),
            "method": method.name,
            "weights": names.printable(description["weights"]["name"]),
            "decision": detector.decision.describe(),
            "rule": description["threshold"]["text"],
            "good": self.good,
            "words": None if words is None else words.describe(),
            "trial": None if trial is None else trial.describe(),
            "why_no_words": why_none(method) if words is None else "",
            "out": None if self.workshop is None else names.printable(str(self.workshop.out)),
            "suggested": None if self.workshop is None else self.workshop.suggested(self.saved),
            "images": [shown.describe() for shown in list(self.session.images.values())],
        }

    def save_threshold(self, threshold: float) -> None:
        """Saves another threshold into the detector; from then on it judges by that.

        Raises InputError for one that is not finite, while a refit is under way, or where the directory was
        changed by somebody else or cannot be written.
        """
        if not self._refitting.acquire(blocking=False):
            raise InputError("a refit is under way; wait until it is done")
        try:
            own = self.session.judges.own
            save_threshold(self.saved, own, threshold)
            self.session.replace(load_again(self.saved, own.scorer.detector.clip, own.batch_size), set())
        finally:
            self._refitting.release()

    def refit(self, name: str, overwrite: bool, with_trial_words: bool) -> list[str]:
        """Makes a detector with the images that were marked good; from then on it judges.

        Args:
          name: of the directory to write, in the folder of the workshop.
          overwrite: replace a detector of that name.
          with_trial_words: from now on use the words that are tried.

        Returns:
          What was left out, with the reason, a line each.

        Raises:
          InputError: there is no workshop, another refit is under way, or `Workshop.refit` refuses.
        """
        if self.workshop is None:
            raise InputError("there is no folder to write to; start again with --out=FOLDER")
        if not self._refitting.acquire(blocking=False):
            raise InputError("a refit is under way; wait until it is done")
        try:
            judges, marked = self.session.judges, self.session.marked("good")
            words = judges.words if with_trial_words else None
            if with_trial_words and words is None:
                raise InputError("no words are being tried; try some first, or refit without them")
            fitted, left_out = self.workshop.refit(judges.own, self.saved, marked, name, overwrite, words)
            self.session.replace(fitted, {shown.number for shown in marked})
            self.saved = self.workshop.path(name)
            self.good = good_scores(self.saved)
            return [names.printable(f"left out: {Path(path).name}: {error}") for path, error in left_out]
        finally:
            self._refitting.release()
