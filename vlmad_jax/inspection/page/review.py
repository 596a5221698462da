"""All that the page shows and can do, apart from HTTP."""

from __future__ import annotations

import threading
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
    """A saved detector, the images it is shown, and where it is refitted, if anywhere."""

    def __init__(self, detector: FittedDetector, saved: Path, refitter: Refitter | None) -> None:
        self.session = Session(detector)
        self.saved = saved
        self.good = read_reference_scores(saved)
        self.refitter = refitter
        self._refitting = threading.Lock()

    def describe(self) -> dict[str, Any]:
        """The whole state, as JSON has it."""
        detector, _, trial = self.session.detectors
        method, description = detector.scorer.detector, detector.description
        prompts = prompts_of(method)
        return {
            "name": names.shown(self.saved.name),
            "object": names.shown(detector.object_name),
            "method": method.name,
            "weights": names.shown(description["weights"]["name"]),
            "decision": detector.decision.describe(),
            "rule": description["threshold"]["text"],
            "good": self.good,
            "words": None if prompts is None else prompts.describe(),
            "trial": None if trial is None else trial.describe(),
            "why_no_words": why_no_prompts(method) if prompts is None else "",
            "out": None if self.refitter is None else names.shown(str(self.refitter.out)),
            "suggested": None if self.refitter is None else self.refitter.suggested(self.saved),
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
            own = self.session.detectors.own
            save_threshold(self.saved, own, threshold)
            self.session.replace(load_again(self.saved, own.scorer.detector.clip, own.batch_size), set())
        finally:
            self._refitting.release()

    def refit(self, name: str, overwrite: bool, with_trial_prompts: bool) -> list[str]:
        """Makes a detector with the images that were marked good; from then on it detectors.

        Args:
          name: of the directory to write, in the folder of the refitter.
          overwrite: replace a detector of that name.
          with_trial_prompts: from now on use the prompts that are tried.

        Returns:
          What was left out, with the reason, a line each.

        Raises:
          InputError: there is no refitter, another refit is under way, or `Refitter.refit` refuses.
        """
        if self.refitter is None:
            raise InputError("there is no folder to write to; start again with --out=FOLDER")
        if not self._refitting.acquire(blocking=False):
            raise InputError("a refit is under way; wait until it is done")
        try:
            detectors, marked = self.session.detectors, self.session.marked("good")
            prompts = detectors.prompts if with_trial_prompts else None
            if with_trial_prompts and prompts is None:
                raise InputError("no prompts are being tried; try some first, or refit without them")
            fitted, skipped = self.refitter.refit(detectors.own, self.saved, marked, name, overwrite, prompts)
            self.session.replace(fitted, {shown.number for shown in marked})
            self.saved = self.refitter.path(name)
            self.good = read_reference_scores(self.saved)
            return [names.shown(f"left out: {Path(path).name}: {error}") for path, error in skipped]
        finally:
            self._refitting.release()
