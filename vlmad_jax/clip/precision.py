"""Matrix products that accumulate in float32 whatever their inputs are."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from vlmad_jax.errors import InputError

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


def dtype_of(name: str) -> jnp.dtype:
    """The dtype that matrix products read; InputError lists the choices."""
    if name not in DTYPES:
        raise InputError(f"dtype {name!r} is not one of {', '.join(DTYPES)}")
    return jnp.dtype(DTYPES[name])


def einsum(equation: str, a: jax.Array, b: jax.Array) -> jax.Array:
    """`jnp.einsum` of two arrays of one dtype, accumulated and returned in float32.

    float32 inputs are multiplied in full float32 on every device: accelerators otherwise round them to
    TF32 or bfloat16. bfloat16 inputs need no such care, and asking for a float32 result is what makes them
    fast on CPUs with AMX.
    """
    precision = jax.lax.Precision.HIGHEST if a.dtype == jnp.float32 else None
    return jnp.einsum(equation, a, b, precision=precision, preferred_element_type=jnp.float32)
