"""The runs of one of the two compared methods."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Any

from vlmad_jax.evaluation.evaluate import CategoryEvaluator, Observe, image_evaluator
from vlmad_jax.evaluation.keys import params_fingerprint
from vlmad_jax.evaluation.results import Results
from vlmad_jax.evaluation.scorer import Scorer
from vlmad_jax.evaluation.shapes import ShapedDetector
from vlmad_jax.methods import Detector
from vlmad_jax.studies.run import Run
from vlmad_jax.studies.runner import Runner


@dataclass(frozen=True, eq=False)
class MethodRuns(abc.ABC):
    """The runs of one of the two compared methods.

    Attributes:
      runner: Executes the runs.
      detector: The method.
      params: Its learned parameters; {} if it learns none.
    """

    runner: Runner
    detector: Detector
    params: dict[str, Any]

    @property
    def name(self) -> str:
        """The name of the method in flags and files."""
        return self.detector.name

    @property
    def title(self) -> str:
        """The name of the method as readers see it."""
        return type(self.detector).__name__

    @property
    def takes_references(self) -> bool:
        """Whether the method uses reference images if there are some."""
        return self.detector.references != "never"

    @property
    def shots(self) -> int:
        """The number of reference images where a study gives no other: 0, or the largest if it needs some."""
        return max(self.runner.config.shots) if self.detector.references == "always" else 0

    @property
    def setting(self) -> str:
        """The description of `shots`: "zero-shot", or for example "4 references"."""
        return count_of_references(self.shots) if self.shots else "zero-shot"

    @property
    def label(self) -> str:
        """The title, with the number of reference images if the method needs some."""
        return f"{self.title}, {self.setting}" if self.shots else self.title

    @property
    def gives_probabilities(self) -> bool:
        """Whether image scores lie between 0 and 1, as probabilities do."""
        return self.detector.score_bounds(self.shots > 0)[0] == 1

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of reference images that the method runs with."""
        few = self.takes_references and self.runner.has_references
        return (() if self.shots else (0,)) + (self.runner.config.shots if few else ())

    def compared(self, normal: bool = False) -> Run:
        """Return the run with `shots`, of the first draw, on test images or on normal training images."""
        return self.run(self.shots, self._seeds(self.shots)[0], normal)

    def by_shots(self) -> dict[int, list[Run]]:
        """Return the runs by number of reference images, one run for each draw."""
        return {shots: [self.run(shots, seed) for seed in self._seeds(shots)] for shots in self.numbers}

    def _seeds(self, shots: int) -> tuple[int, ...]:
        return self.runner.config.seeds if shots else (0,)

    @abc.abstractmethod
    def run(self, shots: int = 0, seed: int = 0, normal: bool = False) -> Run:
        """Return the run with a number of reference images.

        Args:
          shots: The number of reference images of each category.
          seed: The seed of their draw.
          normal: Whether to score the normal training images that were not drawn, instead of test images.
        """


@dataclass(frozen=True, eq=False)
class ImageRuns(MethodRuns):
    """The runs of a method that reads images, as in evaluations."""

    def run(self, shots: int = 0, seed: int = 0, normal: bool = False) -> Run:
        """Return the run with a number of reference images; see `MethodRuns.run`."""
        runner = self.runner
        references = runner.references(shots, seed)
        dataset = runner.normal_dataset(references) if normal else runner.dataset
        settings = {"params": params_fingerprint(self.params), "setting": self.detector.setting}
        draw = {"shots": shots, "seed": seed} if shots else {}

        def make_evaluator(results: Results, observe: Observe) -> CategoryEvaluator:
            return image_evaluator(
                *(self.detector, self.params, references, dataset, results),
                *(runner.config.batch_size, runner.workers),
                observe=observe,
                scorer=runner.cached(("scorer", self.name), self._scorer),
            )

        name = "-".join([self.name, *(f"{key}-{value}" for key, value in draw.items())])
        can_be_compared = (shots > 0) == (self.shots > 0)  # by this or a later configuration
        return runner.run(name, settings | draw, make_evaluator, dataset, store_images=can_be_compared)

    def _scorer(self) -> Scorer:
        """Return a scorer, whose program is compiled once for all runs of the same number of references."""
        return Scorer(ShapedDetector(self.detector), self.runner.config.batch_size)


def count_of_references(shots: int) -> str:
    """Return a number of reference images with its noun.

    >>> count_of_references(1), count_of_references(4)
    ('1 reference', '4 references')
    """
    return f"{shots} reference{'s' * (shots != 1)}"
