"""Encoding many tokens in chunks that follow one another, so that memory stays bounded."""

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
    pictures = len(images)
    chunks = -(-pictures // max(1, CHUNK_TOKENS // tokens))
    if chunks == 1:
        return function(images)
    size = -(-pictures // chunks)
    filled = jnp.pad(images, ((0, chunks * size - pictures), *((0, 0),) * (images.ndim - 1)), mode="edge")
    mapped = jax.lax.map(function, filled.reshape(chunks, size, *images.shape[1:]))
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:pictures], mapped)
