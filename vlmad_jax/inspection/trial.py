"""How often a fitted threshold is wrong: false alarms and misses on images whose labels are known."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from vlmad_jax.backbones.clip import load_clip
from vlmad_jax.data import DataSet
from vlmad_jax.data.references import draw_references
from vlmad_jax.inspection.fit import FitConfig, fit_scorer
from vlmad_jax.inspection.good import GoodFiles
from vlmad_jax.inspection.rows import score_paths
from vlmad_jax.inspection.scorer import Scorer
from vlmad_jax.inspection.sources import Found
from vlmad_jax.inspection.store import load_detector
from vlmad_jax.inspection.tiles import Tiling
from vlmad_jax.methods import method
from vlmad_jax.report.table import markdown_grid

RULES = ("own", "augmented")


@dataclass(frozen=True)
class Trial:
    """One detector on the test images of a category.

    Attributes:
      category: the product.
      shots: good images that it was fitted from.
      seed: of their draw.
      supported: the rate of false alarms that so many support, whatever the scores' distribution.
      good: test images that are good.
      bad: test images that are defective.
      thresholds: by what they are made of: "own", the scores of the good images themselves, or "augmented",
        those of their augmentations too.
      false_alarms: by the same, the share of the good ones that are called bad.
      misses: by the same, the share of the bad ones that are called good.
    """

    category: str
    shots: int
    seed: int
    supported: float
    good: int
    bad: int
    thresholds: dict[str, float]
    false_alarms: dict[str, float]
    misses: dict[str, float]


def trials(
    dataset: DataSet, config: FitConfig, shots: Sequence[int], seeds: Sequence[int], out: Path, workers: int
) -> Iterator[Trial]:
    """Fits detectors of every category from drawn good images, saves them in `out`, and tries them.

    Args:
      dataset: references come from its training images, what is judged are its test images.
      config: how to fit; its object and references are those of each category.
      shots: good images, one number after another.
      seeds: of their draw.
      out: a folder for the detectors; those of an earlier trial are replaced.
      workers: processes that decode; 0 decodes in threads of this one.

    Raises:
      InputError: whatever `fit` raises, or a category has fewer good images.
    """
    clip = load_clip(config.weights, config.dtype)
    detector, params = method(config.method).from_options(clip, config.options)
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
        scored = {0: list[float](), 1: list[float]()}
        for row in score_paths(loaded, list(labels), workers):
            if row.score is not None:
                scored[labels[row.path]].append(row.score)
        thresholds = fitted.threshold["thresholds"]
        yield Trial(
            category,
            count,
            seed,
            fitted.threshold["supported"],
            len(scored[0]),
            len(scored[1]),
            thresholds,
            {
                name: statistics.fmean(x > threshold for x in scored[0])
                for name, threshold in thresholds.items()
            },
            {
                name: statistics.fmean(x <= threshold for x in scored[1])
                for name, threshold in thresholds.items()
            },
        )


def table(done: Sequence[Trial], wanted: float) -> str:
    """A line for each category and number of good images, rates averaged over draws; the means; as Markdown.

    Rates stand twice: at the threshold of the images' own scores, and at that of their augmentations too.
    """
    heading = ["category", "good images", "wanted", "supported"]
    heading += [f"{rate}, {rule}" for rate in ("false alarms", "misses") for rule in RULES]
    cells = [heading]
    for (category, shots), group in itertools.groupby(done, lambda trial: (trial.category, trial.shots)):
        cells.append([category, *_cells(list(group), shots, wanted, each=True)])
    for shots in dict.fromkeys(trial.shots for trial in done):
        draws = [trial for trial in done if trial.shots == shots]
        cells.append(["mean", *_cells(draws, shots, wanted, each=False)])
    return markdown_grid(cells)


def _cells(draws: Sequence[Trial], shots: int, wanted: float, each: bool) -> list[str]:
    rates = [
        [kind[rule] for kind in kinds]
        for kinds in ([x.false_alarms for x in draws], [x.misses for x in draws])
        for rule in RULES
    ]
    return [str(shots), f"{wanted:.0%}", f"{draws[0].supported:.1%}", *(_rate(x, each) for x in rates)]


def _rate(rates: Sequence[float], each: bool) -> str:
    """The mean, and the rate of each draw if they are several and asked for."""
    draws = f" ({', '.join(f'{rate:.1%}' for rate in rates)})" if each and len(rates) > 1 else ""
    return f"{statistics.fmean(rates):.1%}{draws}"
