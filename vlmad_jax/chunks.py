"""Working on many rows in chunks that follow one another, so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

# Tokens that pass through an encoder together; larger chunks are no faster.
CHUNK_TOKENS = 8192


def map_pictures(function: Callable[[jax.Array], Any], images: jax.Array, tokens: int) -> Any:
    """`function` of pictures (B, ...), as many at a time as `CHUNK_TOKENS` allows.

    Args:
      function: pictures (b, ...) -> a tree of arrays (b, ...), each row of its own picture alone.
      images: (B, ...).
      tokens: of one picture.
    """
    return map_chunks(function, images, CHUNK_TOKENS // tokens)


def map_chunks(function: Callable[[jax.Array], Any], rows: jax.Array, most: int) -> Any:
    """`function` of rows (N, ...), at most `most` at a time, or one by one.

    Args:
      function: rows (n, ...) -> a tree of arrays (n, ...), each row of its own row alone.
      rows: (N, ...).
      most: n, 1 if less.
    """
    chunks = -(-len(rows) // max(1, most))
    if chunks == 1:
        return function(rows)
    size = -(-len(rows) // chunks)
    filled = jnp.pad(rows, ((0, chunks * size - len(rows)), *((0, 0),) * (rows.ndim - 1)), mode="edge")
    mapped = jax.lax.map(function, filled.reshape(chunks, size, *rows.shape[1:]))
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[: len(rows)], mapped)
