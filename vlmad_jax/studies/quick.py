"""Quick reports: they leave out most images, repeated draws, and the studies that take longest."""

from __future__ import annotations

import dataclasses

import numpy as np

from vlmad_jax.data import DataSet, Sample

# The number of normal and of anomalous test images of each category.
IMAGES = 8
# The studies that train, or run every method in a process of its own.
SLOW = ("domains", "efficiency")
OBSTACLE = "a quick report trains nothing and measures no times"


def shortened(dataset: DataSet) -> DataSet:
    """Return a data set with at most `IMAGES` test images of each label and category, evenly spaced.

    They are in order of defects, so that the anomalous ones show as many defects as possible. All training
    images remain.
    """
    kept = [sample for sample in dataset.samples if sample.split != "test"]
    for category in dataset.categories:
        test = dataset.select(category, "test")
        for label in (0, 1):
            kept += spaced([sample for sample in test if sample.label == label])
    chosen = set(kept)
    return dataclasses.replace(dataset, samples=tuple(x for x in dataset.samples if x in chosen))


def spaced(samples: list[Sample]) -> list[Sample]:
    """Return at most `IMAGES` of the samples, evenly spaced, the first and the last among them."""
    places = np.linspace(0, len(samples) - 1, min(IMAGES, len(samples))).round().astype(int)
    return [samples[place] for place in places]
