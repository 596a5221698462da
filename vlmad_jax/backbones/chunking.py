"""Computation on many rows in sequential chunks, so that memory is bounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from vlmad_jax.backbones.plan import current_plan


def chunk_tokens() -> int:
    """Return the number of tokens that an encoder computes together on this device."""
    return current_plan().chunk_tokens


def map_heads(
    attention: Callable[..., jax.Array], q: jax.Array, k: jax.Array, v: jax.Array, *more: jax.Array
) -> jax.Array:
    """Compute attention of all heads of B images, in chunks that fit a CPU's caches or the device's memory.

    Args:
      attention: A function (b, h, Q, d), (b, h, T, d), (b, h, T, d) -> (b, h, Q, d) of independent heads.
      q: (B, H, Q, d).
      k: (B, H, T, d).
      v: (B, H, T, d).
      more: Further arguments of `attention`, (B, H, ...) each.
    """
    batch, heads = q.shape[:2]
    most = current_plan().attention_pairs // (q.shape[2] * k.shape[2])
    if batch * heads <= most:
        return attention(q, k, v, *more)
    rows = [x.reshape(batch * heads, 1, *x.shape[2:]) for x in (q, k, v, *more)]
    return map_chunks(lambda rows: attention(*rows), rows, most).reshape(q.shape)


def map_images(function: Callable[[jax.Array], Any], images: jax.Array, tokens: int) -> Any:
    """Apply a function to images, in chunks of as many as `chunk_tokens` allows.

    Args:
      function: A function of images (b, ...) to a tree of arrays (b, ...), independent for each image.
      images: (B, ...).
      tokens: The number of tokens of one image.
    """
    return map_chunks(function, images, chunk_tokens() // tokens)


def map_chunks(function: Callable[[Any], Any], rows: Any, most: int) -> Any:
    """Apply a function to rows in chunks of equal size.

    Args:
      function: A function of rows (n, ...) to a tree of arrays (n, ...), independent for each row.
      rows: A tree of arrays (N, ...).
      most: The largest n; values below 1 mean 1.
    """
    count = len(jax.tree.leaves(rows)[0])
    chunks = -(-count // max(1, most))
    if chunks == 1:
        return function(rows)
    size = -(-count // chunks)

    def split(x: jax.Array) -> jax.Array:
        padded = jnp.pad(x, ((0, chunks * size - count), *((0, 0),) * (x.ndim - 1)), mode="edge")
        return padded.reshape(chunks, size, *x.shape[1:])

    mapped = jax.lax.map(function, jax.tree.map(split, rows))
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:count], mapped)
