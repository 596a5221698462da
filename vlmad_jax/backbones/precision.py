"""Matrix products that accumulate in at least float32 for inputs of any dtype, and int8 quantisation."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vlmad_jax.backbones.plan import current_plan
from vlmad_jax.errors import InputError

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16, "int8": jnp.int8}


def dtype_of(name: str) -> jnp.dtype:
    """Return the dtype of the inputs of products with weights.

    Raises:
      InputError: There is no dtype of that name; the message lists the choices.
    """
    if name not in DTYPES:
        raise InputError(f"dtype {name!r} is not one of {', '.join(DTYPES)}")
    return jnp.dtype(DTYPES[name])


def attention_dtype_of(name: str) -> jnp.dtype:
    """Return the dtype of the inputs of attention's two products: bfloat16 for int8, else the same."""
    return jnp.dtype(jnp.bfloat16) if name == "int8" else dtype_of(name)


def check_trainable(name: str) -> None:
    """Check that training is possible with a dtype.

    Raises:
      InputError: There is no dtype of that name, or it has no gradient.
    """
    if dtype_of(name) == jnp.int8:
        raise InputError("dtype int8 is rounded and has no gradient; train with float32 or bfloat16")


def einsum(equation: str, a: jax.Array | np.ndarray, b: jax.Array | np.ndarray) -> jax.Array:
    """Return `jnp.einsum` of two arrays of one dtype, accumulated in float32.

    float32 inputs are multiplied in full float32 on every device, where accelerators would round them to TF32
    or bfloat16. bfloat16 inputs are multiplied as they are, and the float32 result makes this fast on CPUs
    with AMX. int8 inputs are accumulated in int32, which is exact. The products of the gradient have inputs
    of the same dtype. By default JAX multiplies the float32 gradient of the result with bfloat16 inputs,
    which is slow on every device.

    The equation must have no ellipsis, and each input's letters must occur in the other input or the result.
    """
    return _product(equation, False, a, b)


def multiply(rows: jax.Array, weights: jax.Array) -> jax.Array:
    """Multiply rows (N, I) with weights (I, O), as `einsum` does: float32 (N, O).

    Where the plan of the device says so, results of bfloat16 are rounded to it once they are summed.
    """
    return _product("ni,io->no", current_plan().rounds_products, rows, weights)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _product(equation: str, rounds: bool, a: Any, b: Any) -> jax.Array:
    precision = jax.lax.Precision.HIGHEST if a.dtype == jnp.float32 else None
    accumulated = jnp.int32 if a.dtype == jnp.int8 else jnp.float32
    if rounds and a.dtype == jnp.bfloat16:
        accumulated = jnp.bfloat16  # of the result alone: the sums are float32
    return jnp.einsum(equation, a, b, precision=precision, preferred_element_type=accumulated).astype(
        jnp.float32
    )


def _forward(
    equation: str, rounds: bool, a: jax.Array, b: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _product(equation, rounds, a, b), (a, b)


def _backward(
    equation: str, rounds: bool, inputs: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    a, b = inputs
    letters, result = equation.split("->")
    letters_a, letters_b = letters.split(",")
    gradient = gradient.astype(a.dtype)
    gradient_a = _product(f"{result},{letters_b}->{letters_a}", rounds, gradient, b)
    gradient_b = _product(f"{letters_a},{result}->{letters_b}", rounds, a, gradient)
    return gradient_a.astype(a.dtype), gradient_b.astype(b.dtype)


_product.defvjp(_forward, _backward)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def quantise(x: jax.Array, axis: int) -> tuple[jax.Array, jax.Array]:
    """Quantise a float32 matrix to int8.

    Args:
      x: (N, I).
      axis: The axis along which all elements share a scale, the largest magnitude / 127.

    Returns:
      int8 (N, I) from -127 to 127, and the float32 scales, (N, 1) for axis 1.

    Raises:
      InputError: The function is differentiated; rounding has no gradient.
    """
    largest = jnp.abs(x).max(axis=axis, keepdims=True)
    scale = jnp.where(largest > 0, largest, 1) / 127
    return jnp.round(x / scale).astype(jnp.int8), scale


@quantise.defjvp
def _refuse(axis: int, primals: Any, tangents: Any) -> Any:
    check_trainable("int8")


def multiply_quantised(rows: jax.Array, weights: jax.Array, scale: jax.Array) -> jax.Array:
    """Multiply rows (N, I) with int8 weights (I, O) and their scales (1, O): float32 (N, O).

    Each row is quantised by itself for an int8 product (Dettmers et al. 2022, "LLM.int8()", section 2.1,
    vector-wise).
    """
    quantised, row_scale = quantise(rows, 1)
    return einsum("ni,io->no", quantised, weights) * row_scale * scale
