"""Keys and fingerprints: short texts that change with what the results of an evaluation depend on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vlmad_jax.backbones import Backbone
from vlmad_jax.data import DataSet, Sample
from vlmad_jax.data.resizing import Resizing
from vlmad_jax.methods.detector import by_name
from vlmad_jax.runtime.cache import cache_key, fingerprint


def category_keys(
    dataset: DataSet,
    backbone: Backbone,
    references: Mapping[str, Sequence[Sample]] | None = None,
    resizings: Mapping[str, Resizing] | None = None,
) -> dict[str, str]:
    """Return keys of categories that change with their images and resizing, the tokenizer, or the software.

    Args:
      dataset: The data set, whose test images are included.
      backbone: The frozen network.
      references: The reference images by category; None includes all training images.
      resizings: How the images of each category are resized; None squeezes them to a square.
    """
    tokenizer = tokenizer_digest(backbone)
    keys = {}
    for category in dataset.categories:
        used = dataset.select(category, "train") if references is None else references.get(category, ())
        samples = [*dataset.select(category, "test"), *used]
        how = Resizing.to(1, backbone.resample) if resizings is None else resizings[category]
        keys[category] = cache_key(dataset.fingerprint_of(samples), tokenizer, *resizing_key(how))
    return keys


def resizing_key(resizing: Resizing) -> list[str]:
    """Return texts that change with a resizing; none for a bicubic one to a square without a cut."""
    square = resizing.cut == resizing.whole and len(set(resizing.whole)) == 1
    proportions = [] if square else [f"{resizing.whole} {resizing.cut}"]
    return proportions + [resizing.resample] * (resizing.resample != "bicubic")


def tokenizer_digest(backbone: Backbone) -> str:
    """Return a text that changes with the tokenizer's files and libraries; "" without one or its files."""
    return getattr(getattr(backbone, "tokenizer", None), "digest", "")


def references_fingerprint(references: dict[str, tuple[Sample, ...]], dataset: DataSet) -> str | None:
    """Return the fingerprint of the names and order of the reference images; None for zero-shot."""
    if not references:
        return None
    paths = [[dataset.relative(sample.path) for sample in samples] for samples in references.values()]
    return fingerprint([json.dumps(paths)])


def params_fingerprint(params: dict[str, Any]) -> str | None:
    """Return the fingerprint of the learned parameters; None if there are none."""
    if not params:
        return None
    leaves = by_name(params)
    names = sorted(leaves)
    return fingerprint([repr(names), *(np.asarray(leaves[name]).tobytes() for name in names)])
