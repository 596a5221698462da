"""The runs of WinCLIP, and of its prompts, windows and features, on stored embeddings."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.data import DataSet
from vlmad_jax.errors import InputError
from vlmad_jax.evaluation.evaluate import CategoryEvaluator, Observe
from vlmad_jax.evaluation.results import Results
from vlmad_jax.evaluation.scorer import Scorer
from vlmad_jax.methods import AnomalyCLIP, WinCLIP
from vlmad_jax.methods.winclip import Memory, State
from vlmad_jax.runtime.cache import fingerprint
from vlmad_jax.scoring.prompts import WINCLIP, PromptEnsemble
from vlmad_jax.studies.config import LARGEST_WINDOW
from vlmad_jax.studies.embeddings import (
    Embeddings,
    Encoder,
    FeatureModel,
    FeatureSum,
    Prepare,
    ScoreFeatures,
    feature_evaluator,
)
from vlmad_jax.studies.method_runs import MethodRuns
from vlmad_jax.studies.run import Run
from vlmad_jax.studies.runner import Runner

# The published sides of WinCLIP's windows, in patches.
SIZES = (2, 3)


@dataclass(frozen=True)
class PromptVariant:
    """Prompts that replace WinCLIP's.

    Attributes:
      name: The name of the run.
      prompts: The prompt ensemble.
      object_name: A name that replaces the object name of every category.
    """

    name: str
    prompts: PromptEnsemble
    object_name: str | None = None


@dataclass(frozen=True, eq=False)
class WinclipRuns(MethodRuns):
    """The runs of WinCLIP with the published windows, and of its parts, on stored embeddings.

    Attributes:
      detector: WinCLIP with all window sizes of figure 5 that fit the backbone's grid.
    """

    detector: WinCLIP

    @classmethod
    def of(cls, runner: Runner) -> WinclipRuns:
        """Return the runs of a configuration.

        Raises:
          InputError: The backbone has no text encoder, or its grid is too small for the published windows.
        """
        return runner.cached("WinCLIP", lambda: cls(runner, largest(runner), {}))

    def run(self, shots: int = 0, seed: int = 0, normal: bool = False) -> Run:
        """Return the run with a number of reference images; see `MethodRuns.run`."""
        drawn = f"shots-{shots}" + (f"-seed-{seed}" if shots else "")
        whole = PromptVariant(f"winclip-windows-{joined(SIZES)}-{drawn}", WINCLIP)
        return self._run(whole, shots, seed, normal, store_images=not shots)

    def with_prompts(self, variant: PromptVariant) -> Run:
        """Return the zero-shot run with other prompts."""
        return self._run(variant)

    def _run(
        self,
        used: PromptVariant,
        shots: int = 0,
        seed: int = 0,
        normal: bool = False,
        store_images: bool = False,
    ) -> Run:
        runner = self.runner
        references = runner.references(shots, seed)

        def prepare(category: str) -> State:
            object_name = used.object_name or runner.dataset.object_name(category)
            state = State(self._text_features(used.prompts, object_name))
            if not shots:
                return state
            features = self.embeddings.features(references[category], SIZES)
            memory = Memory.of(features.patches, features.windows)
            return state._replace(memory=jax.tree.map(jnp.asarray, memory))

        return self._run_on_embeddings(
            used.name,
            {
                "prompts": fingerprint([repr(dataclasses.astuple(used.prompts))]),
                "object_name": used.object_name,
                "shots": shots,
                "seed": seed,
                "window_sizes": list(SIZES),
            },
            SIZES,
            prepare,
            self._scorer(("winclip", SIZES), self._with_windows(SIZES).score_features),
            runner.normal_dataset(references) if normal else runner.dataset,
            store_images,
        )

    def features(self, kinds: tuple[str, ...], sizes: tuple[int, ...] = SIZES) -> Run:
        """Return the run of WinCLIP's prompts on some kinds of features; see `FeatureSum`."""
        model = FeatureSum(self._with_windows(sizes), kinds)
        name = "-and-".join(kind.replace(" ", "-") for kind in kinds)
        object_name = self.runner.dataset.object_name
        return self._run_on_embeddings(
            f"features-{name}-windows-{joined(sizes)}",
            {"kinds": list(kinds), "window_sizes": list(sizes)},
            sizes,
            lambda category: State(self._text_features(WINCLIP, object_name(category))),
            self._scorer((kinds, sizes), model.score_features),
            self.runner.dataset,
        )

    @functools.cached_property
    def embeddings(self) -> Embeddings:
        """The embeddings of all images that any run reads; missing ones are computed."""
        runner = self.runner
        encoder = Encoder(self.detector, AnomalyCLIP.for_backbone(self.detector.clip).dpam_layers)
        dataset = runner.dataset
        samples = [s for name in dataset.categories for s in dataset.select(name, "test")]
        samples += [s for name in dataset.categories for s in runner.normal_images(name)]
        names = [dataset.fingerprint, *(dataset.relative(sample.path) for sample in samples)]
        embeddings = Embeddings.create(encoder, samples, names, runner.out / "embeddings")
        embeddings.fill(runner.workers)
        return embeddings

    def _run_on_embeddings(
        self,
        name: str,
        settings: dict[str, Any],
        sizes: tuple[int, ...],
        prepare: Prepare,
        scorer: Scorer,
        dataset: DataSet,
        store_images: bool = False,
    ) -> Run:
        """Run a model on stored embeddings; see `feature_evaluator` and `Runner.run`."""

        def make_evaluator(results: Results, observe: Observe) -> CategoryEvaluator:
            return feature_evaluator(scorer, self.embeddings, sizes, prepare, dataset, results, observe)

        return self.runner.run(name, settings, make_evaluator, dataset, store_images)

    def _scorer(self, key: Any, score_features: ScoreFeatures) -> Scorer:
        """Return a scorer of stored features, compiled once for all runs of this key."""
        model = FeatureModel(self.detector.clip, score_features)
        return self.runner.cached(("scorer", key), lambda: Scorer(model, self.runner.config.batch_size))

    def _with_windows(self, sizes: tuple[int, ...]) -> WinCLIP:
        return dataclasses.replace(self.detector, window_sizes=sizes)

    def _text_features(self, prompts: PromptEnsemble, object_name: str) -> jax.Array:
        """Return text features, computed once for all runs with the same prompts."""
        return self.runner.cached(
            (prompts, object_name),
            lambda: dataclasses.replace(self.detector, prompts=prompts).text_features(object_name),
        )


def largest(runner: Runner) -> WinCLIP:
    """Return WinCLIP with all window sizes of figure 5 that fit the backbone's grid.

    Raises:
      InputError: The backbone has no text encoder, or its grid is too small for the published windows.
    """
    clip = runner.backbone
    WinCLIP.check_backbone(clip)
    assert isinstance(clip, CLIP)
    smallest = WinCLIP(clip, (1,))
    rows, columns = smallest.grid
    if min(rows, columns) < max(SIZES):
        raise InputError(
            f"--weights={runner.config.weights}: windows of {max(SIZES)} do not fit its grid of {rows} x "
            f"{columns} patches; give weights for larger images"
        )
    return dataclasses.replace(smallest, window_sizes=tuple(range(1, min(LARGEST_WINDOW, rows, columns) + 1)))


def joined(sizes: tuple[int, ...]) -> str:
    """Return window sizes as part of a run's name."""
    return "-".join(map(str, sizes))
