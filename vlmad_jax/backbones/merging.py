"""Merging of tokens that say the same (Bolya et al., ICLR 2023, "Token Merging: Your ViT But Faster").

In each layer, between attention and MLP, r tokens are merged into others (section 3). Tokens are dealt out to
two sets in turn, A and B. Each token of A is joined with the one of B whose key, averaged over heads, is most
like its own by the cosine; the r joins of highest cosine are made. A merged token is the mean of what it
stands for, and remembers of how many patches. The class token, the first of A, stays by itself.

Attention gives a token of size s the weight that s equal tokens would have together, softmax(q k / sqrt(d) +
log s) (equation 1).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from vlmad_jax.backbones.attention import Kernel, attend
from vlmad_jax.backbones.precision import einsum


def proportional(sizes: jax.Array) -> Kernel:
    """CLIP's own attention to tokens that stand for `sizes` (B, T) patches each."""
    bias = jnp.log(sizes)[:, None, None]  # (B, 1, 1, T)
    return lambda q, k, v: attend(q, k, v, bias=bias)


def merge_tokens(
    hidden: jax.Array, keys: jax.Array, sizes: jax.Array, number: int
) -> tuple[jax.Array, jax.Array]:
    """Merges the tokens that are most alike; at most half of the patch tokens.

    Args:
      hidden: (B, T, D), class token first.
      keys: (B, T, d), what likeness is judged by.
      sizes: (B, T), how many patches each stands for.
      number: r, tokens to merge.

    Returns:
      hidden (B, T - r, D) and sizes (B, T - r): what is left of A in its order, then B.
    """
    number = min(number, (hidden.shape[1] - 1) // 2)
    if number < 1:
        return hidden, sizes
    keys = keys / jnp.maximum(jnp.linalg.norm(keys, axis=-1, keepdims=True), 1e-12)
    likeness = einsum("bad,bcd->bac", keys[:, ::2], keys[:, 1::2]).at[:, 0].set(-jnp.inf)
    order = jnp.argsort(-likeness.max(axis=-1), axis=-1)  # of A, the most alike first
    merged, kept = order[:, :number], jnp.sort(order[:, number:], axis=-1)
    partner = jnp.take_along_axis(likeness.argmax(axis=-1), merged, axis=-1)
    chosen = jax.nn.one_hot(partner, likeness.shape[2])  # (B, r, tokens of B)

    def joined(x: jax.Array) -> jax.Array:
        """Sums over what each token stands for now: (B, T, n) -> (B, T - r, n)."""
        a, b = x[:, ::2], x[:, 1::2]
        moved = jnp.take_along_axis(a, merged[..., None], axis=1)
        stays = jnp.take_along_axis(a, kept[..., None], axis=1)
        return jnp.concatenate([stays, b + einsum("brc,brd->bcd", chosen, moved)], axis=1)

    total = joined(sizes[..., None])
    return joined(hidden * sizes[..., None]) / total, total[..., 0]
