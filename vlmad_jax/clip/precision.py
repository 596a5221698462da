"""Matrix products that accumulate in float32 whatever their inputs are."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from vlmad_jax.errors import InputError

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


def dtype_of(name: str) -> jnp.dtype:
    """The dtype that matrix products read; InputError lists the choices."""
    if name not in DTYPES:
        raise InputError(f"dtype {name!r} is not one of {', '.join(DTYPES)}")
    return jnp.dtype(DTYPES[name])


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def einsum(equation: str, a: jax.Array, b: jax.Array) -> jax.Array:
    """`jnp.einsum` of two arrays of one dtype, accumulated and returned in float32.

    float32 inputs are multiplied in full float32 on every device: accelerators otherwise round them to
    TF32 or bfloat16. bfloat16 inputs need no such care, and asking for a float32 result is what makes them
    fast on CPUs with AMX. The products of the gradient read the same dtype; left to itself JAX would multiply
    the float32 gradient of the result with bfloat16, which no device does quickly.

    The equation has no ellipsis, and each input's letters stand in the other input or in the result.
    """
    precision = jax.lax.Precision.HIGHEST if a.dtype == jnp.float32 else None
    return jnp.einsum(equation, a, b, precision=precision, preferred_element_type=jnp.float32)


def _forward(equation: str, a: jax.Array, b: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return einsum(equation, a, b), (a, b)


def _backward(
    equation: str, inputs: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    a, b = inputs
    letters, result = equation.split("->")
    letters_a, letters_b = letters.split(",")
    gradient = gradient.astype(a.dtype)
    gradient_a = einsum(f"{result},{letters_b}->{letters_a}", gradient, b)
    gradient_b = einsum(f"{letters_a},{result}->{letters_b}", a, gradient)
    return gradient_a.astype(a.dtype), gradient_b.astype(b.dtype)


einsum.defvjp(_forward, _backward)
