"""A detector for what does not depend on the detector, put in the place of every method."""

import copy
import functools
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from vlmad_jax.evaluation import evaluate as evaluation
from vlmad_jax.methods import MethodOptions, Scores


class Brightness:
    """A detector for what does not depend on the detector: bright images and pixels are anomalous."""

    size = (16, 16)

    setting: ClassVar[dict[str, Any]] = {}

    def __init__(self) -> None:
        self.prepared: list[tuple[str, np.ndarray | None]] = []
        self.batches: list[int] = []

    def at_size(self, size: tuple[int, int]) -> "Brightness":
        other = copy.copy(self)
        other.size = size
        return other

    def prepare(self, object_name: str, references: np.ndarray | None, params: dict[str, Any]) -> float:
        self.prepared.append((object_name, references))
        return 0.0 if references is None else float(references.mean())

    backbone = SimpleNamespace(
        name="odd/clip",
        dtype="bfloat16",
        resample="bicubic",
        patch_size=4,
        fingerprint="none",
        tokenizer=None,
        compile=lambda tower, score, place: functools.partial(score, None),
    )

    def score_with(self, variables: None, state: float, images: Any) -> Scores:
        self.batches.append(len(images))
        values = np.asarray(images, np.float32) + np.float32(state)
        return Scores(values.mean(axis=(1, 2, 3)), values.mean(axis=3))


def put_in_place(monkeypatch: pytest.MonkeyPatch) -> list[Brightness]:
    """Puts Brightness in the place of every method; the list fills with the detectors made."""
    made: list[Brightness] = []

    def from_options(clip: Any, options: MethodOptions) -> tuple[Brightness, dict[str, Any]]:
        made.append(Brightness())
        return made[-1], {}

    kind = SimpleNamespace(from_options=from_options, check_references=lambda given: None, options=())
    monkeypatch.setattr(evaluation, "method", lambda name: kind)
    monkeypatch.setattr(evaluation, "load_backbone", lambda *_: Brightness.backbone)
    monkeypatch.setattr(evaluation, "check_named", lambda *_: None)
    return made
