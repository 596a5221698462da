"""Evaluating on embeddings instead of images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax

from vlmad_jax.data import Sample
from vlmad_jax.data.pipeline import Batch
from vlmad_jax.evaluation.evaluate import Evaluator
from vlmad_jax.methods import Scores
from vlmad_jax.studies.embeddings import Embeddings

StateOf = Callable[[str], Any]
ScoreFeatures = Callable[[Any, Any], Scores]


@dataclass(frozen=True, kw_only=True)
class EmbeddedEvaluator(Evaluator):
    """An evaluator whose images are embeddings; `state_of` and `score_features` stand for a detector.

    Attributes:
      embeddings: of all images that are scored.
      sizes: of the windows whose embeddings are read.
      state_of: gives the state for a category.
      score_features: gives the scores of a batch of embeddings from that state.
    """

    embeddings: Embeddings
    sizes: tuple[int, ...]
    state_of: StateOf
    score_features: ScoreFeatures

    def read(self, groups: Sequence[Sequence[Sample]], batch_size: int, workers: int) -> Iterator[Batch]:
        """The embeddings of each category in batches."""
        del workers
        for number, group in enumerate(groups):
            for start in range(0, len(group), batch_size):
                yield self.embeddings.batch(group, self.sizes, start, batch_size, number)

    def put(self, batch: Batch) -> tuple[Batch, Any]:
        """The batch, and its embeddings on one device."""
        return batch, jax.device_put(batch.image)

    def prepare(self, category: str) -> Any:
        """The state for a category."""
        return self.state_of(category)

    def score(self, state: Any, images: Any) -> Scores:
        """The scores of a batch of embeddings."""
        return self.score_features(state, images)
