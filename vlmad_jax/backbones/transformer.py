"""The layers of a pre-norm transformer, for images and texts, as Flax modules.

The residual stream, layer norms and softmax are float32. `dtype` is that of the inputs of matrix products.
Parameters are float32, and matrices may be bfloat16 or int8, see `key_tables.cast_matrices`. With int8, which
is for inference alone, the inputs of attention's products are bfloat16.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from vlmad_jax.backbones.attention import Kernel, kernel
from vlmad_jax.backbones.precision import attention_dtype_of, dtype_of, multiply, multiply_quantised

Intermediates = dict[str, jax.Array]
# (layer, stream, number) -> stream: what `through` applies; numbers count from 1.
Step = Callable[["Block", Any, int], Any]


def quick_gelu(x: jax.Array) -> jax.Array:
    """Return x sigmoid(1.702 x), the approximation with which OpenAI's checkpoints were trained."""
    return x * jax.nn.sigmoid(1.702 * x)


ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "quick_gelu": quick_gelu,
    "gelu": functools.partial(jax.nn.gelu, approximate=False),
    "gelu_tanh": functools.partial(jax.nn.gelu, approximate=True),
    "silu": jax.nn.silu,
}


def layer_name(number: int) -> str:
    """Return the name of a layer's parameters and of its output, counted from 1: "layer06"."""
    return f"layer{number:02d}"


@dataclass(frozen=True)
class TransformerConfig:
    """The shape of a pre-norm transformer.

    Attributes:
      width: D, the width of the residual stream.
      layers: The number of layers.
      heads: The number of heads of attention.
      mlp_width: The width of the MLPs' hidden layer.
      activation: A name in `ACTIVATIONS`.
      eps: The value added to variances in layer norms.
      layer_scale: Whether the output of attention and MLP is scaled channel by channel.
      gated_mlp: Whether the MLP multiplies its hidden layer by a second one.
      query_bias: Whether the projection to queries has a bias.
      key_bias: Whether the projection to keys has one.
      value_bias: Whether the projection to values has one.
      out_bias: Whether the projection after attention has one.
      mlp_bias: Whether the MLP's linear layers have one.
    """

    width: int
    layers: int
    heads: int
    mlp_width: int
    activation: str
    eps: float
    layer_scale: bool = False
    gated_mlp: bool = False
    query_bias: bool = True
    key_bias: bool = True
    value_bias: bool = True
    out_bias: bool = True
    mlp_bias: bool = True


class Linear(nn.Module):
    """A linear layer x W + b with inputs of `dtype`, accumulated and returned as float32."""

    features: int
    dtype: str
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (..., I) to (..., features)."""
        dtype = dtype_of(self.dtype)
        weights = self.param(
            "kernel", nn.initializers.normal(x.shape[-1] ** -0.5), (x.shape[-1], self.features)
        )
        rows = x.reshape(-1, x.shape[-1])
        if dtype == jnp.int8:
            scale = self.param("scale", nn.initializers.ones, (1, self.features))
            y = multiply_quantised(rows, weights, scale)
        else:
            y = multiply(rows.astype(dtype), weights.astype(dtype))
        y = y.reshape(*x.shape[:-1], self.features)
        if not self.use_bias:
            return y
        return y + self.param("bias", nn.initializers.zeros, (self.features,))


class Attention(nn.Module):
    """Multi-head attention with a kernel that is given with each call."""

    config: TransformerConfig
    dtype: str

    def setup(self) -> None:
        """Make the four projections."""
        shape = self.config
        self.query = Linear(shape.width, self.dtype, shape.query_bias)
        self.key = Linear(shape.width, self.dtype, shape.key_bias)
        self.value = Linear(shape.width, self.dtype, shape.value_bias)
        self.out = Linear(shape.width, self.dtype, shape.out_bias)

    def project(
        self, x: jax.Array, queries: int | None = None, asking: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Return queries of the first tokens, and all keys and values: (B, T, D) -> (B, H, T, D/H) each.

        The queries are those of `asking` (B, Q, D) if it is given.
        """

        def heads(y: jax.Array) -> jax.Array:
            y = y.astype(attention_dtype_of(self.dtype))
            return y.reshape(*y.shape[:-1], self.config.heads, -1).swapaxes(1, 2)

        asking = x[:, :queries] if asking is None else asking
        return heads(self.query(asking)), heads(self.key(x)), heads(self.value(x))

    def attend(self, attention: str | Kernel, q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
        """Return the kernel's output for queries, keys and values, projected: (B, Q, D)."""
        out = kernel(attention)(q, k, v)
        return self.out(out.swapaxes(1, 2).reshape(*out.shape[:1], -1, self.config.width))


class MLP(nn.Module):
    """Two linear layers with an activation between them, or three of which one is a gate.

    The gate (Shazeer 2020, "GLU Variants Improve Transformer") is the activation of its own linear layer.
    """

    config: TransformerConfig
    dtype: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (..., D) to (..., D)."""
        shape = self.config
        activation = ACTIVATIONS[shape.activation]
        up = Linear(shape.mlp_width, self.dtype, shape.mlp_bias, name="up")(x)
        if shape.gated_mlp:
            gate = Linear(shape.mlp_width, self.dtype, shape.mlp_bias, name="gate")(x)
            hidden = activation(gate) * up
        else:
            hidden = activation(up)
        return Linear(x.shape[-1], self.dtype, shape.mlp_bias, name="down")(hidden)


class Block(nn.Module):
    """A pre-norm residual attention block.

    With `queries=n` the block is computed for the first n tokens alone, which still attend to all. The last
    layer of an encoder needs only the class token if only this is used.
    """

    config: TransformerConfig
    dtype: str

    def setup(self) -> None:
        """Make the layers."""
        self.ln_1 = layer_norm(self.config.eps)
        self.attention = Attention(self.config, self.dtype)
        self.ln_2 = layer_norm(self.config.eps)
        self.mlp = MLP(self.config, self.dtype)
        if self.config.layer_scale:
            ones = nn.initializers.ones
            self.scale_1, self.scale_2 = (self.param(n, ones, (self.config.width,)) for n in SCALES)

    def __call__(self, x: jax.Array, attention: str | Kernel = "qk", queries: int | None = None) -> jax.Array:
        """Return the block's output: (B, T, D) -> (B, Q, D)."""
        q, k, v = self.project(x, queries)
        return self.add_mlp(self.add(x[:, :queries], self.attention.attend(attention, q, k, v)))

    def project(self, x: jax.Array, queries: int | None = None) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Return the block's queries, keys and values, see `Attention.project`."""
        return self.attention.project(self.ln_1(x), queries)

    def add(self, x: jax.Array, attended: jax.Array) -> jax.Array:
        """Add the output of attention to the stream."""
        return x + (attended * self.scale_1 if self.config.layer_scale else attended)

    def add_mlp(self, x: jax.Array) -> jax.Array:
        """Add the output of the MLP to the stream."""
        added = self.mlp(self.ln_2(x))
        return x + (added * self.scale_2 if self.config.layer_scale else added)


SCALES = ("scale_1", "scale_2")  # after attention and after the MLP


def layer_norm(eps: float, name: str | None = None) -> nn.LayerNorm:
    """Return a float32 layer norm with a two-pass variance, as in torch."""
    return nn.LayerNorm(epsilon=eps, dtype=jnp.float32, use_fast_variance=False, name=name)


def blocks(config: TransformerConfig, dtype: str) -> list[Block]:
    """Return the residual blocks of a transformer, named "layer01" and on."""
    return [Block(config, dtype, name=layer_name(n + 1)) for n in range(config.layers)]
