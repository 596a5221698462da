"""What the figures of an evaluation were computed from, as short names that change with it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.data import DataSet, Sample
from vlmad_jax.runtime.cache import cache_key, fingerprint


def keys_of(
    dataset: DataSet, clip: CLIP, references: Mapping[str, Sequence[Sample]] | None = None
) -> dict[str, str]:
    """For each category, what changes with the contents of its images, the tokenizer, or the versions.

    Args:
      dataset: its test images are looked at.
      clip: the backbone.
      references: the reference images of each category, if they are not all of its training images.
    """
    tokenizer = tokenizer_digest(clip)
    keys = {}
    for category in dataset.categories:
        used = dataset.select(category, "train") if references is None else references.get(category, ())
        samples = [*dataset.select(category, "test"), *used]
        keys[category] = cache_key(dataset.fingerprint_of(samples), tokenizer)
    return keys


def tokenizer_digest(clip: CLIP) -> str:
    """A text that changes with the tokenizer's files and libraries; "" where it is not of a checkpoint."""
    return getattr(clip.tokenizer, "digest", "")


def references_fingerprint(references: dict[str, tuple[Sample, ...]], dataset: DataSet) -> str | None:
    """16 hexadecimal digits that change with the good samples or their order; None for zero-shot."""
    if not references:
        return None
    paths = [[dataset.relative(sample.path) for sample in samples] for samples in references.values()]
    return fingerprint([json.dumps(paths)])


def params_fingerprint(params: dict[str, Any]) -> str | None:
    """16 hexadecimal digits that change with any learned parameter; None where nothing is learned."""
    if not params:
        return None
    names = sorted(params)
    return fingerprint([repr(names), *(np.asarray(params[name]).tobytes() for name in names)])
