"""How often a fitted threshold is wrong: false alarms and misses on pictures whose labels are known."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from vlmad_jax.clip.model import load_clip
from vlmad_jax.data import DataSet
from vlmad_jax.data.references import draw_references
from vlmad_jax.inspection.fit import FitConfig, fit_scorer
from vlmad_jax.inspection.good import GoodFiles
from vlmad_jax.inspection.rows import score_paths
from vlmad_jax.inspection.scorer import Scorer
from vlmad_jax.inspection.sources import Found
from vlmad_jax.inspection.store import load_detector
from vlmad_jax.inspection.tiles import Tiling
from vlmad_jax.methods import Options, method


@dataclass(frozen=True)
class Trial:
    """One detector on the test pictures of a category.

    Attributes:
      category: the product.
      shots: good pictures that it was fitted from.
      seed: of their draw.
      supported: the rate of false alarms that so many support, whatever the scores' distribution.
      threshold: what was fitted.
      good: test pictures that are good.
      bad: test pictures that are defective.
      false_alarms: share of the good ones that were called bad.
      misses: share of the bad ones that were called good.
    """

    category: str
    shots: int
    seed: int
    supported: float
    threshold: float
    good: int
    bad: int
    false_alarms: float
    misses: float


def trials(
    dataset: DataSet, config: FitConfig, shots: Sequence[int], seeds: Sequence[int], out: Path, workers: int
) -> Iterator[Trial]:
    """Fits detectors of every category from drawn good pictures, saves them in `out`, and tries them.

    Args:
      dataset: references come from its training pictures, what is judged are its test pictures.
      config: how to fit; its object and references are those of each category.
      shots: good pictures, one number after another.
      seeds: of their draw.
      out: a folder for the detectors; those of an earlier trial are replaced.
      workers: processes that decode; 0 decodes in threads of this one.

    Raises:
      InputError: whatever `fit` raises, or a category has fewer good pictures.
    """
    clip = load_clip(config.weights, config.dtype)
    detector, params = method(config.method).chosen(clip, Options.of(config))
    cells = list(itertools.product(dataset.categories, shots, seeds))
    for category, count, seed in tqdm(cells, desc="trials", unit=" detectors", dynamic_ncols=True):
        references = draw_references(dataset, category, count, seed)
        files = GoodFiles.of(category, [Found(str(sample.path), "") for sample in references])
        tiling = Tiling.chosen(config.tiles, detector.size, list(files.sizes.values()))
        scorer = Scorer(detector, tiling, config.batch_size)
        named = replace(config, object_name=dataset.object_name(category), seed=seed)
        saved = out / f"{category}-{count}-{seed}.vlmad"
        fitted = fit_scorer(named, scorer, params, files, saved, overwrite=True, workers=workers)
        tested = dataset.select(category, "test")
        loaded = load_detector(saved, batch_size=config.batch_size)
        labels = {sample.path: sample.label for sample in tested}
        called = {0: list[bool](), 1: list[bool]()}
        for row in score_paths(loaded, list(labels), workers):
            if row.decision is not None:
                called[labels[row.path]].append(row.decision == "bad")
        yield Trial(
            category,
            count,
            seed,
            fitted.threshold["supported"],
            fitted.decision.threshold,
            len(called[0]),
            len(called[1]),
            statistics.fmean(called[0]),
            1 - statistics.fmean(called[1]),
        )


def table(done: Sequence[Trial], wanted: float) -> str:
    """A line for each category and number of good pictures, rates averaged over draws, as Markdown."""
    lines = [
        "| category | good pictures | wanted | supported | false alarms (each draw) | misses (each draw) |",
        "|---|---|---|---|---|---|",
    ]
    for (category, shots), group in itertools.groupby(done, lambda trial: (trial.category, trial.shots)):
        draws = list(group)
        alarms, misses = (
            f"{statistics.fmean(rates):.1%} ({', '.join(f'{rate:.1%}' for rate in rates)})"
            for rates in ([x.false_alarms for x in draws], [x.misses for x in draws])
        )
        lines.append(
            f"| {category} | {shots} | {wanted:.0%} | {draws[0].supported:.1%} | {alarms} | {misses} |"
        )
    return "\n".join(lines)
