"""Attention kernels: pure functions (q, k, v) -> out, chosen by name or given as they are.

Queries are (B, H, Q, D/H), keys and values (B, H, T, D/H), the result (B, H, Q, D/H) in float32.
Q is T, or 1 where only the class token's answer is wanted. Heads stand before tokens because XLA's CPU
backend has no bfloat16 product for some gradients of the other order.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from vlmad_jax.backbones.chunking import map_heads
from vlmad_jax.backbones.precision import einsum
from vlmad_jax.errors import InputError

Kernel = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


def attend(
    q: jax.Array, k: jax.Array, v: jax.Array, mask: jax.Array | None = None, bias: jax.Array | None = None
) -> jax.Array:
    """softmax(q k^T / sqrt(d) + bias) v (Vaswani et al. 2017, equation 1); the softmax is in float32.

    `mask` (Q, T) is true where a query may look; `bias` (B, 1, 1, T) is of the token that is looked at.
    """

    def of_heads(q: jax.Array, k: jax.Array, v: jax.Array, *biases: jax.Array) -> jax.Array:
        logits = einsum("bhqd,bhtd->bhqt", q, k) * q.shape[-1] ** -0.5
        if mask is not None:
            logits = jnp.where(mask, logits, -jnp.inf)
        for added in biases:
            logits = logits + added
        weights = jax.nn.softmax(logits, axis=-1).astype(v.dtype)
        return einsum("bhqt,bhtd->bhqd", weights, v)

    biases = () if bias is None else (jnp.broadcast_to(bias, (*k.shape[:2], 1, k.shape[2])),)
    return map_heads(of_heads, q, k, v, *biases)


def qk(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """CLIP's own attention: every token looks at every token."""
    return attend(q, k, v)


def causal(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """CLIP's text attention: a token looks at itself and at those before it."""
    tokens = q.shape[2]
    return attend(q, k, v, jnp.tril(jnp.ones((tokens, tokens), bool)))


def vv(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """Tokens look at those whose values are like theirs: DPAM's choice (Zhou et al. 2024, section 3.3)."""
    return attend(v, v, v)


def qq(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """Tokens look at those whose queries are like theirs."""
    return attend(q, q, v)


def kk(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """Tokens look at those whose keys are like theirs."""
    return attend(k, k, v)


def diagonal(q: jax.Array, k: jax.Array, v: jax.Array, factor: jax.Array | float = 1.0) -> jax.Array:
    """CLIP's attention A with each token's weight on itself amplified: (A + factor diag(A)) v.

    The comparison of WinCLIP and AnomalyCLIP describes DPAM so, with a learned factor; Zhou et al. and their
    code have none of it. Q is T.
    """
    own = jax.nn.softmax(einsum("bhqd,bhtd->bhqt", q, k) * q.shape[-1] ** -0.5, axis=-1)  # (B, H, T, T)
    own = jnp.diagonal(own, axis1=-2, axis2=-1)[..., None]  # (B, H, T, 1)
    return attend(q, k, v) + factor * own * v


KERNELS: dict[str, Kernel] = {"qk": qk, "causal": causal, "vv": vv, "qq": qq, "kk": kk, "diagonal": diagonal}


def kernel(name: str | Kernel) -> Kernel:
    """The attention kernel of that name, or a kernel itself; InputError lists the choices."""
    if not isinstance(name, str):
        return name
    if name not in KERNELS:
        raise InputError(f"attention {name!r} is not one of {', '.join(KERNELS)}")
    return KERNELS[name]
