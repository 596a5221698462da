"""Working on many rows in chunks that follow one another, so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

# Tokens that pass through an encoder together. On a CPU the hidden layer of more falls out of its caches;
# accelerators need more to be busy.
CPU_TOKENS, ACCELERATOR_TOKENS = 1024, 8192
# Numbers of attention's largest array, a weight for each pair of tokens, that a CPU's caches hold: 8 MiB of
# float32.
CPU_PAIRS = 2**21


def chunk_tokens() -> int:
    """Tokens that pass through an encoder together on this backend."""
    return CPU_TOKENS if jax.default_backend() == "cpu" else ACCELERATOR_TOKENS


def map_heads(
    attention: Callable[..., jax.Array], q: jax.Array, k: jax.Array, v: jax.Array, *more: jax.Array
) -> jax.Array:
    """Attention of the heads of B images, on a CPU as many at a time as its caches hold; else all at once.

    Args:
      attention: (b, h, Q, d), (b, h, T, d), (b, h, T, d) -> (b, h, Q, d), each head by itself.
      q: (B, H, Q, d).
      k: (B, H, T, d).
      v: (B, H, T, d).
      more: what else `attention` is to be given of each head, (B, H, ...) each.
    """
    batch, heads = q.shape[:2]
    most = CPU_PAIRS // (q.shape[2] * k.shape[2])
    if jax.default_backend() != "cpu" or batch * heads <= most:
        return attention(q, k, v, *more)
    rows = [x.reshape(batch * heads, 1, *x.shape[2:]) for x in (q, k, v, *more)]
    return map_chunks(lambda rows: attention(*rows), rows, most).reshape(q.shape)


def map_images(function: Callable[[jax.Array], Any], images: jax.Array, tokens: int) -> Any:
    """`function` of images (B, ...), as many at a time as `chunk_tokens` allows.

    Args:
      function: images (b, ...) -> a tree of arrays (b, ...), each row of its own image alone.
      images: (B, ...).
      tokens: of one image.
    """
    return map_chunks(function, images, chunk_tokens() // tokens)


def map_chunks(function: Callable[[Any], Any], rows: Any, most: int) -> Any:
    """`function` of rows, a tree of arrays (N, ...), at most `most` at a time, or one by one.

    Args:
      function: rows (n, ...) -> a tree of arrays (n, ...), each row of its own row alone.
      rows: a tree of arrays (N, ...).
      most: n, 1 if less.
    """
    count = len(jax.tree.leaves(rows)[0])
    chunks = -(-count // max(1, most))
    if chunks == 1:
        return function(rows)
    size = -(-count // chunks)

    def cut(x: jax.Array) -> jax.Array:
        filled = jnp.pad(x, ((0, chunks * size - count), *((0, 0),) * (x.ndim - 1)), mode="edge")
        return filled.reshape(chunks, size, *x.shape[1:])

    mapped = jax.lax.map(function, jax.tree.map(cut, rows))
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:count], mapped)
