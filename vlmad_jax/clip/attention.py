"""Attention kernels: pure functions (q, k, v) -> out, chosen by name.

Queries are (B, H, Q, D/H), keys and values (B, H, T, D/H), the result (B, H, Q, D/H) in float32.
Q is T, or 1 where only the class token's answer is wanted. Heads stand before tokens because XLA's CPU
backend has no bfloat16 product for some gradients of the other order.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from vlmad_jax.clip.precision import einsum
from vlmad_jax.errors import InputError

Kernel = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


def attend(q: jax.Array, k: jax.Array, v: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """softmax(q k^T / sqrt(d)) v (Vaswani et al. 2017, equation 1); the softmax is in float32.

    `mask` (Q, T) is true where a query may look.
    """
    logits = einsum("bhqd,bhtd->bhqt", q, k) * q.shape[-1] ** -0.5  # (B, H, Q, T)
    if mask is not None:
        logits = jnp.where(mask, logits, -jnp.inf)
    weights = jax.nn.softmax(logits, axis=-1).astype(v.dtype)
    return einsum("bhqt,bhtd->bhqd", weights, v)


def qk(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """CLIP's own attention: every token looks at every token."""
    return attend(q, k, v)


def causal(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """CLIP's text attention: a token looks at itself and at those before it."""
    tokens = q.shape[2]
    return attend(q, k, v, jnp.tril(jnp.ones((tokens, tokens), bool)))


KERNELS: dict[str, Kernel] = {"qk": qk, "causal": causal}


def kernel(name: str) -> Kernel:
    """The attention kernel of that name; InputError lists the choices."""
    if name not in KERNELS:
        raise InputError(f"attention {name!r} is not one of {', '.join(KERNELS)}")
    return KERNELS[name]
