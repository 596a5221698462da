"""Scoring the test images of a category together, by a batched method."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from vlmad_jax.data.pipeline import Batch
from vlmad_jax.evaluation.scorer import Scorer
from vlmad_jax.evaluation.shapes import ShapedDetector
from vlmad_jax.methods import Batched, Scores
from vlmad_jax.methods.detector import Features, check_finite
from vlmad_jax.methods.encoding import joined


@dataclass(frozen=True)
class ShapedEncoder(ShapedDetector):
    """The encoder of a batched method for images of several shapes, a model of `Scorer`.

    Attributes:
      detector: The method at its own size.
    """

    detector: Batched  # type: ignore[assignment]

    def score_with(self, variables: dict[str, Any], state: Any, images: Any) -> Features:  # type: ignore[override]
        """Return the features of images; the state is unused."""
        return self.at(images.shape[1:3]).extract(variables, images)  # type: ignore[attr-defined]


def score_together(
    method: Batched, encoder: Scorer, batches: Iterable[tuple[Batch, Any]], most: int
) -> list[tuple[Batch, Scores]]:
    """Return the batches of a category with the scores of their images; unreadable ones are not in the set.

    Args:
      method: The method, of the images' size.
      encoder: A scorer whose model is a `ShapedEncoder`.
      batches: The batches, on the host and as `encoder.put` placed their images.
      most: The largest number of images that the batches hold.

    Raises:
      InputError: The readable images are too few, or a score is not finite.
    """
    kept: list[Batch] = []

    def parts() -> Iterator[Features]:
        for batch, images in batches:
            kept.append(batch)
            found = jax.device_get(encoder.score((), images))
            yield Features(*(x[batch.readable] for x in found))

    scores = method.score_set(joined(parts(), most))
    check_finite(scores, method.backbone)
    ends = np.cumsum([batch.readable.sum() for batch in kept])[:-1]
    divided = zip(*(np.split(x, ends) for x in scores), strict=True)
    return [(batch, filled(batch, Scores(*part))) for batch, part in zip(kept, divided, strict=True)]


def filled(batch: Batch, scores: Scores) -> Scores:
    """Return scores of all rows of a batch, given those of its readable ones; others are 0."""
    rows = [np.zeros((len(batch.readable), *x.shape[1:]), x.dtype) for x in scores]
    for row, x in zip(rows, scores, strict=True):
        row[batch.readable] = x
    return Scores(*rows)
