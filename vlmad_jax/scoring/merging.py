"""Merging of similar tokens (Bolya et al., ICLR 2023, "Token Merging: Your ViT But Faster").

Each layer merges r tokens into others, between attention and MLP (section 3). Tokens belong alternately to
two sets, A and B. Each token of A is matched with the token of B whose key, averaged over heads, has the
highest cosine with its own, and the r best matches are merged. A merged token is the mean of the patches that
it represents, and its size is their number. The class token, the first of A, is never merged.

Attention gives a token of size s the weight of s equal tokens, softmax(q k / sqrt(d) + log s) (equation 1).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from vlmad_jax.backbones.attention import Kernel, attend
from vlmad_jax.backbones.precision import einsum
from vlmad_jax.backbones.transformer import Block
from vlmad_jax.backbones.vit import VisionTransformer


def proportional(sizes: jax.Array) -> Kernel:
    """Return CLIP's own attention to tokens that represent `sizes` (B, T) patches."""
    bias = jnp.log(sizes)[:, None, None]  # (B, 1, 1, T)
    return lambda q, k, v: attend(q, k, v, bias=bias)


def merge_tokens(
    hidden: jax.Array, keys: jax.Array, sizes: jax.Array, number: int
) -> tuple[jax.Array, jax.Array]:
    """Merge the most similar tokens, at most half of the patch tokens.

    Args:
      hidden: (B, T, D), class token first.
      keys: (B, T, d), whose cosines measure similarity.
      sizes: (B, T), the number of patches that each token represents.
      number: r, the number of tokens to merge.

    Returns:
      The tokens (B, T - r, D) and sizes (B, T - r), first the rest of A in its order, then B.
    """
    number = min(number, (hidden.shape[1] - 1) // 2)
    if number < 1:
        return hidden, sizes
    keys = keys / jnp.maximum(jnp.linalg.norm(keys, axis=-1, keepdims=True), 1e-12)
    similarity = einsum("bad,bcd->bac", keys[:, ::2], keys[:, 1::2]).at[:, 0].set(-jnp.inf)
    order = jnp.argsort(-similarity.max(axis=-1), axis=-1)  # of A, the best match first
    merged, kept = order[:, :number], jnp.sort(order[:, number:], axis=-1)
    partner = jnp.take_along_axis(similarity.argmax(axis=-1), merged, axis=-1)
    chosen = jax.nn.one_hot(partner, similarity.shape[2])  # (B, r, tokens of B)

    def joined(x: jax.Array) -> jax.Array:
        """Add up merged tokens: (B, T, n) -> (B, T - r, n)."""
        a, b = x[:, ::2], x[:, 1::2]
        moved = jnp.take_along_axis(a, merged[..., None], axis=1)
        rest = jnp.take_along_axis(a, kept[..., None], axis=1)
        return jnp.concatenate([rest, b + einsum("brc,brd->bcd", chosen, moved)], axis=1)

    total = joined(sizes[..., None])
    return joined(hidden * sizes[..., None]) / total, total[..., 0]


def encode_merging(vision: VisionTransformer, tokens: jax.Array, number: int) -> jax.Array:
    """Return the embeddings (B, E) of embedded tokens (B, T, D), class token first, from merged tokens.

    The last layer merges none: it is computed for the class token alone, so that merging would save nothing.

    Args:
      vision: The vision transformer, bound to its variables.
      tokens: (B, T, D).
      number: r, the number of tokens to merge in each layer.
    """
    layers = vision.config.layers

    def step(layer: Block, stream: tuple[jax.Array, jax.Array], n: int) -> tuple[jax.Array, jax.Array]:
        hidden, sizes = stream
        if n == layers:
            return layer(hidden, proportional(sizes), queries=1), sizes
        q, k, v = layer.project(hidden)
        hidden = layer.add(hidden, layer.attention.attend(proportional(sizes), q, k, v))
        hidden, sizes = merge_tokens(hidden, k.astype(jnp.float32).mean(axis=1), sizes, number)
        return layer.add_mlp(hidden), sizes

    hidden, _ = vision.through(step, (vision.pre(tokens), jnp.ones(tokens.shape[:2])))[-1]
    return vision.pool(hidden)
