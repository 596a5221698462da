"""Keys and fingerprints: short texts that change with what the results of an evaluation depend on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vlmad_jax.backbones import Backbone
from vlmad_jax.data import DataSet, Sample
from vlmad_jax.runtime.cache import cache_key, fingerprint


def category_keys(
    dataset: DataSet, backbone: Backbone, references: Mapping[str, Sequence[Sample]] | None = None
) -> dict[str, str]:
    """Return keys of the categories that change with their images, the tokenizer, or the software.

    Args:
      dataset: The data set, whose test images are included.
      backbone: The frozen network.
      references: The reference images by category; None includes all training images.
    """
    tokenizer = tokenizer_digest(backbone)
    keys = {}
    for category in dataset.categories:
        used = dataset.select(category, "train") if references is None else references.get(category, ())
        samples = [*dataset.select(category, "test"), *used]
        keys[category] = cache_key(dataset.fingerprint_of(samples), tokenizer)
    return keys


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
    names = sorted(params)
    return fingerprint([repr(names), *(np.asarray(params[name]).tobytes() for name in names)])
