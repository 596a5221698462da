"""Matrix products that show how fast the machine can multiply."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from vlmad_jax.backbones.chunking import chunk_tokens
from vlmad_jax.backbones.config import CLIPConfig
from vlmad_jax.backbones.precision import dtype_of, einsum, quantise

# Sides of the square products, (side, side) x (side, side). Accelerators need larger ones to be fully used.
SQUARES = {"cpu": (1024, 2048, 4096), "accelerator": (4096, 8192, 16384)}

Product = Callable[[], jax.Array]


def product_shapes(config: CLIPConfig, on_cpu: bool) -> list[tuple[int, int, int]]:
    """Return the shapes (n, k, m) of the products to measure: squares, and the MLP of the backbone."""
    width, mlp_width = config.vision.width, config.vision.mlp_width
    shapes = [(side, side, side) for side in SQUARES["cpu" if on_cpu else "accelerator"]]
    return [*shapes, (chunk_tokens(), width, mlp_width), (chunk_tokens(), mlp_width, width)]


def products(config: CLIPConfig, dtype: str) -> dict[tuple[int, int, int], Product]:
    """Return jitted matrix products (n, k) x (k, m) by their shape (n, k, m), see `product_shapes`.

    They accumulate in float32. On the CPU the right-hand side is a constant of the program, as the weights of
    `CLIP` are, so that the measured rate is one that CLIP can reach.
    """
    on_cpu = jax.default_backend() == "cpu"

    def multiply(right: jax.Array, left: jax.Array) -> jax.Array:
        return einsum("nk,km->nm", left, right)

    def draw(key: jax.Array, n: int, m: int) -> jax.Array:
        x = jax.random.normal(key, (n, m), jnp.float32)
        return quantise(x, 0)[0] if dtype == "int8" else x.astype(dtype_of(dtype))

    def product(n: int, k: int, m: int) -> Product:
        key_left, key_right = jax.random.split(jax.random.key(0))
        left, right = draw(key_left, n, k), draw(key_right, k, m)
        if on_cpu:
            return functools.partial(jax.jit(functools.partial(multiply, right)), left)
        return functools.partial(jax.jit(multiply), right, left)

    return {shape: product(*shape) for shape in product_shapes(config, on_cpu)}
