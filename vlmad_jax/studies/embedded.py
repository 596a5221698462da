"""Evaluating on embeddings in place of images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.data import DataSet, Sample
from vlmad_jax.data.pipeline import Batch
from vlmad_jax.evaluation.evaluate import CategoryEvaluator, Observe
from vlmad_jax.evaluation.results import Results
from vlmad_jax.evaluation.scorer import Scorer
from vlmad_jax.methods import Scores
from vlmad_jax.studies.embeddings import Embeddings

StateOf = Callable[[str], Any]
ScoreFeatures = Callable[[Any, Any], Scores]


@dataclass(frozen=True)
class FeatureModel:
    """A model that scores features, which were computed before, by `score_features(state, features)`."""

    clip: CLIP
    score_features: ScoreFeatures

    def score_with(self, variables: dict[str, Any], state: Any, features: Any) -> Scores:
        """Return the scores of a batch of features; the backbone has done its work."""
        del variables
        return self.score_features(state, features)


def feature_evaluator(
    scorer: Scorer,
    embeddings: Embeddings,
    sizes: Sequence[int],
    state_of: StateOf,
    dataset: DataSet,
    results: Results,
    observe: Observe,
) -> CategoryEvaluator:
    """Return an evaluator that reads stored embeddings.

    Args:
      scorer: of a `FeatureModel`.
      embeddings: of all images that are scored.
      sizes: of the windows whose embeddings are read.
      state_of: returns the state of a category.
      dataset: the data set.
      results: where the metrics are stored.
      observe: see `CategoryEvaluator`.
    """

    def read(groups: Sequence[Sequence[Sample]]) -> Iterator[Batch]:
        for number, group in enumerate(groups):
            for start in range(0, len(group), scorer.batch_size):
                yield embeddings.batch(group, sizes, start, scorer.batch_size, number)

    return CategoryEvaluator(scorer, state_of, read, dataset, results, observe=observe)
