"""Retrieval of labels from a memory of labelled features (Xu et al. 2026, "MRAD")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vlmad_jax.backbones.chunking import map_chunks
from vlmad_jax.backbones.precision import einsum
from vlmad_jax.scoring.neighbours import LARGEST_BUFFER

Head = dict[str, jax.Array]  # a linear map, "kernel" (D, E) and "bias" (E,)


class Memory(NamedTuple):
    """Keys to compare queries with.

    Attributes:
      keys: (M, E), mapped by the key head, or (M, D) as they are without heads.
      values: (M, 2), the one-hot labels normal and anomalous.
      query: The query head, "kernel" (D, E) and "bias" (E,), or None.
    """

    keys: jax.Array
    values: jax.Array
    query: Head | None = None


def linear(rows: jax.Array, head: Head | None) -> jax.Array:
    """Apply a head to rows (N, D), or return them as they are without one."""
    return rows if head is None else einsum("nd,de->ne", rows, head["kernel"]) + head["bias"]


def memory_of(part: str, heads: Mapping[str, Any], memory: Mapping[str, jax.Array]) -> Memory:
    """Return the memory of "patch" or "image" features, mapped by the heads if there are any."""
    keys = linear(memory[f"{part}_keys"], heads.get(f"{part}_key"))
    return Memory(keys, memory[f"{part}_values"], heads.get(f"{part}_query"))


def retrieve(
    features: jax.Array, memory: Memory, keys: jax.Array | None = None, quantile: float = 1.0
) -> jax.Array:
    """Return the probabilities of normal and anomalous that a memory gives to features.

    No array but the inputs and the result has more than `LARGEST_BUFFER` elements, in the gradient either.

    Args:
      features: (..., D), of length 1.
      memory: The M keys, and their labels.
      keys: (M, D), the keys without a head, to drop those whose cosine with a feature is above a quantile of
        its M cosines; None drops none.
      quantile: 0 to 1.

    Returns:
      (..., 2), which add up to 1.
    """

    def compare(rows: jax.Array) -> jax.Array:
        logits = einsum("ne,me->nm", linear(rows, memory.query), memory.keys)
        if keys is not None:
            cosines = einsum("nd,md->nm", rows, keys)
            most = jnp.quantile(cosines, quantile, axis=-1, keepdims=True)
            logits = jnp.where(cosines > most, -jnp.inf, logits)
        return einsum("nm,mc->nc", jax.nn.softmax(logits), memory.values)

    rows = features.reshape(-1, features.shape[-1])
    # The gradient computes each chunk again, in place of storing its comparisons.
    found = map_chunks(jax.checkpoint(compare), rows, LARGEST_BUFFER // max(1, len(memory.keys)))
    return found.reshape(*features.shape[:-1], 2)
