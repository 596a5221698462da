"""Matrix products that accumulate without rounding to less than float32, whatever their inputs are."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from vlmad_jax.errors import InputError

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16, "int8": jnp.int8}


def dtype_of(name: str) -> jnp.dtype:
    """The dtype that products with weights read; InputError lists the choices."""
    if name not in DTYPES:
        raise InputError(f"dtype {name!r} is not one of {', '.join(DTYPES)}")
    return jnp.dtype(DTYPES[name])


def attention_dtype_of(name: str) -> jnp.dtype:
    """The dtype that the two products of attention read: bfloat16 beside weights of int8."""
    return jnp.dtype(jnp.bfloat16) if name == "int8" else dtype_of(name)


def check_trainable(name: str) -> None:
    """Raises InputError for a dtype that has no gradient, or is none."""
    if dtype_of(name) == jnp.int8:
        raise InputError("dtype int8 is rounded and has no gradient; train with float32 or bfloat16")


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def einsum(equation: str, a: jax.Array, b: jax.Array) -> jax.Array:
    """`jnp.einsum` of two arrays of one dtype, accumulated and returned in float32.

    float32 inputs are multiplied in full float32 on every device: accelerators otherwise round them to
    TF32 or bfloat16. bfloat16 inputs need no such care, and asking for a float32 result is what makes them
    fast on CPUs with AMX. int8 inputs are accumulated in int32, which is exact. The products of the gradient
    read the same dtype; left to itself JAX would multiply the float32 gradient of the result with bfloat16,
    which no device does quickly.

    The equation has no ellipsis, and each input's letters stand in the other input or in the result.
    """
    precision = jax.lax.Precision.HIGHEST if a.dtype == jnp.float32 else None
    accumulated = jnp.int32 if a.dtype == jnp.int8 else jnp.float32
    return jnp.einsum(equation, a, b, precision=precision, preferred_element_type=accumulated).astype(
        jnp.float32
    )


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


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def quantise(x: jax.Array, axis: int) -> tuple[jax.Array, jax.Array]:
    """A float32 matrix as int8 from -127 to 127, and float32 scales to multiply it with.

    There is a scale, the largest magnitude / 127, for all numbers along `axis`, whose length is 1 in the
    scales: (N, I) -> (N, I), and (N, 1) for axis 1. What is all zero stays so.

    Raises:
      InputError: a gradient is asked for, since rounding has none.
    """
    largest = jnp.abs(x).max(axis=axis, keepdims=True)
    scale = jnp.where(largest > 0, largest, 1) / 127
    return jnp.round(x / scale).astype(jnp.int8), scale


@quantise.defjvp
def _refuse(axis: int, primals: Any, tangents: Any) -> Any:
    check_trainable("int8")


def multiply_quantised(rows: jax.Array, weights: jax.Array, scale: jax.Array) -> jax.Array:
    """rows (N, I) times int8 weights (I, O) with a scale for each column, (1, O) -> float32 (N, O).

    Rows are quantised here, each by itself, so that the product is one of int8 (Dettmers et al. 2022,
    "LLM.int8()", section 2.1, vector-wise).
    """
    quantised, row_scale = quantise(rows, 1)
    return einsum("ni,io->no", quantised, weights) * row_scale * scale
