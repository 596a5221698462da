"""The features of many images, computed a few at a time and kept on the host."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import jax
import numpy as np

from vlmad_jax.backbones.images import Array
from vlmad_jax.methods.detector import Features
from vlmad_jax.runtime.scratch import scratch_array

# The number of images encoded together; their features are fetched to the host.
ENCODE_BATCH = 8


def encode(extract: Callable[[Array], Features], images: np.ndarray) -> Features:
    """Return the features of N images as NumPy arrays.

    Args:
      extract: A compiled function of `ENCODE_BATCH` images.
      images: uint8 (N, height, width, 3).
    """

    def parts() -> Iterator[Features]:
        for first in range(0, len(images), ENCODE_BATCH):
            batch = images[first : first + ENCODE_BATCH]
            # The last batch is padded, so that all batches compile once.
            padded = np.concatenate([batch, np.repeat(batch[-1:], ENCODE_BATCH - len(batch), axis=0)])
            found = jax.device_get(extract(padded))
            yield Features(*(x[: len(batch)] for x in found))

    return joined(parts(), len(images))


def joined(parts: Iterable[Features], most: int) -> Features:
    """Return the features of all parts, one or more, as one; large ones are kept on disk.

    Args:
      parts: Features of NumPy arrays, which are read one after the other.
      most: The largest number of images that the parts hold together.
    """
    whole: list[np.ndarray] = []
    count = 0
    for part in parts:
        whole = whole or [scratch_array((most, *x.shape[1:])) for x in part]
        for array, x in zip(whole, part, strict=True):
            array[count : count + len(x)] = x
        count += len(part.image)
    return Features(*(x[:count] for x in whole))  # type: ignore[arg-type]
