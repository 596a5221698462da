"""The reasons why metrics of a category are undefined, and the metrics of its parts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from vlmad_jax import metrics
from vlmad_jax.data import DataSet, Sample
from vlmad_jax.report import mean_of

# The name of the part whose images are the things of a data set with several views of each.
THINGS = "things"


def undefined(labels: np.ndarray, has_masks: bool) -> dict[str, str]:
    """Return why metrics are undefined, for "image" and "pixel" metrics; {} if all are defined.

    Args:
      labels: The labels of the test images of a category, 0 or 1.
      has_masks: Whether every anomalous test image has a mask.

    >>> undefined(np.array([1, 1]), has_masks=True)
    {'image': 'all test images are anomalous'}
    """
    reasons = {}
    if len(set(labels.tolist())) == 1:
        reasons["image"] = f"all test images are {'anomalous' if labels[0] else 'normal'}"
    if not labels.any():
        reasons["pixel"] = "no test image is anomalous"
    elif not has_masks:
        reasons["pixel"] = "not every anomalous image has a mask"
    return reasons


def parts_of(
    dataset: DataSet, samples: Sequence[Sample], scores: np.ndarray, *pixels: np.ndarray
) -> dict[str, metrics.Metrics]:
    """Return the metrics of the parts of a category that the data set reports apart, by name.

    A part is a defect of `dataset.apart` with all normal images. If `dataset.by_folder`, `THINGS` is another:
    its score is the maximum over the images of a folder, it is anomalous if one of them is, and it has no
    pixel metrics.

    Args:
      dataset: The data set.
      samples: The N test images of the category.
      scores: Their scores (N,).
      pixels: Their maps and masks (N, height, width), if pixel metrics are defined.
    """
    labels = np.array([sample.label for sample in samples])
    found = {}
    for defect in dataset.apart:
        chosen = np.array([sample.defect == defect for sample in samples])
        if chosen.any():
            chosen |= labels == 0
            found[defect] = metrics.evaluate(scores[chosen], labels[chosen], *(x[chosen] for x in pixels))
    if dataset.by_folder:
        folders = [os.path.dirname(sample.path) for sample in samples]
        names, thing = np.unique(folders, return_inverse=True)
        highest, anomalous = np.full(len(names), -np.inf), np.zeros(len(names), int)
        np.maximum.at(highest, thing, scores)
        np.maximum.at(anomalous, thing, labels)
        found[THINGS] = metrics.evaluate(highest, anomalous)
    return found


def joined_parts(parts: dict[str, dict[str, metrics.Metrics]]) -> dict[str, dict[str, Any]]:
    """Return {part: {"categories": {category: metrics}, "mean": metrics}} of the parts of each category."""
    names = dict.fromkeys(name for of_category in parts.values() for name in of_category)
    joined = {}
    for name in names:
        categories = {category: found[name] for category, found in parts.items() if name in found}
        joined[name] = {"categories": categories, "mean": mean_of(categories)}
    return joined
