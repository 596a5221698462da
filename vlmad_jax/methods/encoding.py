"""Functions of many images, computed a few at a time, with results on the host."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

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
    return joined(batches(extract, images, ENCODE_BATCH), len(images))


def map_batches(function: Callable[[Any], Any], rows: Any, size: int) -> Any:
    """Return the result of a function of N rows as a tree of NumPy arrays (N, ...); see `batches`."""
    return jax.tree.map(lambda *parts: np.concatenate(parts), *batches(function, rows, size))


def batches(function: Callable[[Any], Any], rows: Any, size: int) -> Iterator[Any]:
    """Yield the results of a function of rows, `size` at a time, as trees of NumPy arrays.

    Args:
      function: A compiled function of a tree of arrays (size, ...) to another one, independent for each row.
      rows: A tree of NumPy arrays (N, ...).
      size: The number of rows that are computed together.
    """
    count = len(jax.tree.leaves(rows)[0])
    for first in range(0, count, size):
        kept = min(size, count - first)

        def some(x: np.ndarray, first: int = first, kept: int = kept) -> np.ndarray:
            # The last batch is padded, so that all batches compile once.
            part = x[first : first + size]
            return np.concatenate([part, np.repeat(part[-1:], size - kept, axis=0)])

        found = jax.device_get(function(jax.tree.map(some, rows)))
        yield jax.tree.map(lambda x, kept=kept: x[:kept], found)


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
