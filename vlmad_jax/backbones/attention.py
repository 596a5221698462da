"""Attention kernels, pure functions (q, k, v) -> out, given by name or as functions.

Queries are (B, H, Q, D/H), keys and values (B, H, T, D/H), and the result (B, H, Q, D/H) in float32. Q is T,
or 1 if only the class token's output is needed. The heads' axis precedes that of tokens, because XLA's CPU
backend lacks a bfloat16 product for some gradients of the other order.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from vlmad_jax.backbones.chunking import map_heads
from vlmad_jax.backbones.plan import current_plan
from vlmad_jax.backbones.precision import einsum
from vlmad_jax.errors import InputError

LONG = 256  # the number of tokens from which cuDNN's attention may be used

Kernel = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


def attend(
    q: jax.Array, k: jax.Array, v: jax.Array, mask: jax.Array | None = None, bias: jax.Array | None = None
) -> jax.Array:
    """Return softmax(q k^T / sqrt(d) + bias) v (Vaswani et al. 2017, equation 1), with a float32 softmax.

    The plan of the device says how long attention in bfloat16 is computed.

    Args:
      q: (B, H, Q, d).
      k: (B, H, T, d).
      v: (B, H, T, d).
      mask: bool (Q, T), whether a query may attend to a token.
      bias: (B, 1, 1, T), added to the logits of each token.
    """
    cudnn = current_plan().long_attention == "cudnn"
    if cudnn and mask is None and bias is None and suits_cudnn(q, k):
        return by_cudnn(q, k, v)
    return by_products(q, k, v, mask, bias)


def by_products(
    q: jax.Array, k: jax.Array, v: jax.Array, mask: jax.Array | None = None, bias: jax.Array | None = None
) -> jax.Array:
    """Return attention by plain products; see `attend`."""

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


def suits_cudnn(q: jax.Array, k: jax.Array) -> bool:
    """Return whether cuDNN's attention takes the shapes and dtype, and is faster than plain products."""
    depth, shortest = q.shape[3], min(q.shape[2], k.shape[2])
    return q.dtype == jnp.bfloat16 and shortest >= LONG and depth % 8 == 0 and depth <= 128


@jax.custom_vjp
def by_cudnn(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """Return attention by cuDNN's kernel, which stores no weights: (B, H, Q, d) and (B, H, T, d) twice.

    JAX has no gradient of that kernel for an odd number of tokens. Training with one uses plain products,
    which store weights (B, H, Q, T). There is no forward-mode derivative.
    """
    return cudnn_kernel(q, k, v)


def cudnn_kernel(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """Return attention by cuDNN's kernel with JAX's own gradient."""
    rows = [x.swapaxes(1, 2) for x in (q, k, v)]
    return jax.nn.dot_product_attention(*rows, implementation="cudnn").swapaxes(1, 2).astype(jnp.float32)


def _forward(
    q: jax.Array, k: jax.Array, v: jax.Array
) -> tuple[jax.Array, Callable[[jax.Array], tuple[jax.Array, ...]]]:
    odd = q.shape[2] % 2 or k.shape[2] % 2
    return jax.vjp(by_products if odd else cudnn_kernel, q, k, v)


def _backward(
    gradient: Callable[[jax.Array], tuple[jax.Array, ...]], of_output: jax.Array
) -> tuple[jax.Array, ...]:
    return gradient(of_output)


by_cudnn.defvjp(_forward, _backward)


def qk(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """Return CLIP's own attention, of every token to every token."""
    return attend(q, k, v)


def causal(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """Return CLIP's text attention, of each token to itself and those before it."""
    tokens = q.shape[2]
    return attend(q, k, v, jnp.tril(jnp.ones((tokens, tokens), bool)))


def vv(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """Return attention by the similarity of values, DPAM's choice (Zhou et al. 2024, section 3.3)."""
    return attend(v, v, v)


def qq(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """Return attention by the similarity of queries."""
    return attend(q, q, v)


def kk(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """Return attention by the similarity of keys."""
    return attend(k, k, v)


def diagonal(q: jax.Array, k: jax.Array, v: jax.Array, factor: jax.Array | float = 1.0) -> jax.Array:
    """Return CLIP's attention A with amplified weights of tokens on themselves, (A + factor diag(A)) v.

    A comparison of WinCLIP and AnomalyCLIP describes DPAM in this way, with a learned factor. Zhou et al. and
    their code do not. Q is T.
    """
    own = jax.nn.softmax(einsum("bhqd,bhtd->bhqt", q, k) * q.shape[-1] ** -0.5, axis=-1)  # (B, H, T, T)
    own = jnp.diagonal(own, axis1=-2, axis2=-1)[..., None]  # (B, H, T, 1)
    return attend(q, k, v) + factor * own * v


KERNELS: dict[str, Kernel] = {"qk": qk, "causal": causal, "vv": vv, "qq": qq, "kk": kk, "diagonal": diagonal}


def kernel(name: str | Kernel) -> Kernel:
    """Return the attention kernel of a name; a kernel is returned unchanged.

    Raises:
      InputError: There is no kernel of that name; the message lists the choices.
    """
    if not isinstance(name, str):
        return name
    if name not in KERNELS:
        raise InputError(f"attention {name!r} is not one of {', '.join(KERNELS)}")
    return KERNELS[name]
