"""CLIP's two transformers as Flax modules (Radford et al. 2021, "Learning Transferable Visual Models").

The residual stream, layer norms and softmax are float32. `dtype` is that of the inputs of matrix products.
Parameters are float32, and matrices may be bfloat16 or int8, see `clip_weights.cast_matrices`. With int8,
which is for inference alone, the inputs of attention's products are bfloat16.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from vlmad_jax.backbones.attention import Kernel, kernel
from vlmad_jax.backbones.config import CLIPConfig
from vlmad_jax.backbones.merging import merge_tokens, proportional
from vlmad_jax.backbones.positions import resize_positions
from vlmad_jax.backbones.precision import attention_dtype_of, dtype_of, einsum, multiply_quantised

Intermediates = dict[str, jax.Array]


def quick_gelu(x: jax.Array) -> jax.Array:
    """Return x sigmoid(1.702 x), the approximation with which OpenAI's checkpoints were trained."""
    return x * jax.nn.sigmoid(1.702 * x)


ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "quick_gelu": quick_gelu,
    "gelu": functools.partial(jax.nn.gelu, approximate=False),
}


def layer_name(number: int) -> str:
    """Return the name of a layer's parameters and of its output, counted from 1: "layer06"."""
    return f"layer{number:02d}"


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
            y = einsum("ni,io->no", rows.astype(dtype), weights.astype(dtype))
        y = y.reshape(*x.shape[:-1], self.features)
        if not self.use_bias:
            return y
        return y + self.param("bias", nn.initializers.zeros, (self.features,))


class Attention(nn.Module):
    """Multi-head attention with a kernel that is given with each call."""

    width: int
    heads: int
    dtype: str

    def setup(self) -> None:
        """Make the four projections."""
        self.query, self.key, self.value, self.out = (Linear(self.width, self.dtype) for _ in range(4))

    def __call__(self, x: jax.Array, attention: str | Kernel, queries: int | None = None) -> jax.Array:
        """Return the attention of the first `queries` tokens, or all: (B, T, D) -> (B, Q, D)."""
        return self.attend(attention, *self.project(x, queries))

    def project(self, x: jax.Array, queries: int | None = None) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Return queries of the first tokens, and all keys and values: (B, T, D) -> (B, H, T, D/H) each."""

        def heads(y: jax.Array) -> jax.Array:
            y = y.astype(attention_dtype_of(self.dtype))
            return y.reshape(*y.shape[:-1], self.heads, -1).swapaxes(1, 2)

        return heads(self.query(x[:, :queries])), heads(self.key(x)), heads(self.value(x))

    def attend(self, attention: str | Kernel, q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
        """Return the kernel's output for queries, keys and values, projected: (B, Q, D)."""
        out = kernel(attention)(q, k, v)
        return self.out(out.swapaxes(1, 2).reshape(*out.shape[:1], -1, self.width))


class MLP(nn.Module):
    """Two linear layers with an activation between them."""

    width: int
    activation: str
    dtype: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (..., D) to (..., D)."""
        hidden = ACTIVATIONS[self.activation](Linear(self.width, self.dtype, name="up")(x))
        return Linear(x.shape[-1], self.dtype, name="down")(hidden)


class Block(nn.Module):
    """A pre-norm residual attention block.

    With `queries=n` the block is computed for the first n tokens alone, which still attend to all. The last
    layer of an encoder needs only the class token if only this is used.
    """

    width: int
    heads: int
    mlp_width: int
    activation: str
    eps: float
    dtype: str

    def setup(self) -> None:
        """Make the layers."""
        self.ln_1 = layer_norm(self.eps)
        self.attention = Attention(self.width, self.heads, self.dtype)
        self.ln_2 = layer_norm(self.eps)
        self.mlp = MLP(self.mlp_width, self.activation, self.dtype)

    def __call__(self, x: jax.Array, attention: str | Kernel, queries: int | None = None) -> jax.Array:
        """Return the block's output: (B, T, D) -> (B, Q, D)."""
        x = x[:, :queries] + self.attention(self.ln_1(x), attention, queries)
        return x + self.mlp(self.ln_2(x))

    def merging(self, x: jax.Array, sizes: jax.Array, number: int) -> tuple[jax.Array, jax.Array]:
        """Return the block's output with merged tokens, and their sizes; see `backbones.merging`."""
        q, k, v = self.attention.project(self.ln_1(x))
        x = x + self.attention.attend(proportional(sizes), q, k, v)
        x, sizes = merge_tokens(x, k.astype(jnp.float32).mean(axis=1), sizes, number)
        return x + self.mlp(self.ln_2(x)), sizes

    def two_paths(
        self, x: jax.Array, attention: str | Kernel, queries: int | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """Return the block's output with CLIP's own attention, and the attention output of another kernel."""
        q, k, v = self.attention.project(self.ln_1(x))
        added = self.attention.attend(attention, q, k, v)
        x = x[:, :queries] + self.attention.attend("qk", q[:, :, :queries], k, v)
        return x + self.mlp(self.ln_2(x)), added


def layer_norm(eps: float) -> nn.LayerNorm:
    """Return a float32 layer norm with a two-pass variance, as in torch."""
    return nn.LayerNorm(epsilon=eps, dtype=jnp.float32, use_fast_variance=False)


def blocks(config: CLIPConfig, tower: str, dtype: str) -> list[Block]:
    """Return the residual blocks of one tower, named "layer01" and on."""
    part = getattr(config, tower)
    return [
        Block(
            part.width,
            part.heads,
            part.mlp_width,
            config.activation,
            config.layer_norm_eps,
            dtype,
            name=layer_name(n + 1),
        )
        for n in range(part.layers)
    ]


class VisionTransformer(nn.Module):
    """CLIP's ViT in three steps that methods recombine: `embed`, `transform` and `project`."""

    config: CLIPConfig
    dtype: str = "float32"
    position_resize: str = "bicubic"

    def setup(self) -> None:
        """Make the layers and parameters."""
        vision = self.config.vision
        self.patch_embedding = Linear(vision.width, self.dtype, use_bias=False)
        scale = nn.initializers.normal(vision.width**-0.5)
        self.class_embedding = self.param("class_embedding", scale, (vision.width,))
        self.position_embedding = self.param("position_embedding", scale, (vision.grid**2 + 1, vision.width))
        self.ln_pre = layer_norm(self.config.layer_norm_eps)
        self.layers = blocks(self.config, "vision", self.dtype)
        self.ln_post = layer_norm(self.config.layer_norm_eps)
        self.projection = Linear(self.config.embed_dim, self.dtype, use_bias=False)

    def __call__(self, images: jax.Array) -> tuple[jax.Array, Intermediates]:
        """Return the embeddings (B, E) of images, and the residual stream (B, T, D) after each layer."""
        hidden, intermediates = self.transform(self.embed(images))
        return self.project(hidden[:, 0]), intermediates

    def embed(self, images: jax.Array) -> jax.Array:
        """Return class token and patches with positions before the first norm: (B, S, S, 3) -> (B, T, D)."""
        patch = self.config.vision.patch_size
        mean, std = jnp.array(self.config.image_mean), jnp.array(self.config.image_std)
        pixels = (images.astype(jnp.float32) / 255 - mean) / std
        batch, height, width, _ = pixels.shape
        rows, columns = height // patch, width // patch
        pixels = pixels[:, : rows * patch, : columns * patch]  # a convolution drops incomplete patches
        pixels = pixels.reshape(batch, rows, patch, columns, patch, 3).transpose(0, 1, 3, 2, 4, 5)
        patches = self.patch_embedding(pixels.reshape(batch, rows * columns, patch * patch * 3))  # (B, P, D)
        class_token = jnp.broadcast_to(self.class_embedding, (batch, 1, patches.shape[-1]))
        positions = resize_positions(self.position_embedding, (rows, columns), self.position_resize)
        return jnp.concatenate([class_token, patches], axis=1) + positions  # (B, T, D)

    def transform(
        self,
        tokens: jax.Array,
        class_only: bool = False,
        dpam_layers: int = 0,
        attention: str | Kernel = "vv",
    ) -> tuple[jax.Array, Intermediates]:
        """Return the last residual stream, and the stream after each layer by name.

        Args:
          tokens: Embedded tokens (B, T, D).
          class_only: Whether to compute the last layer for the class token alone, so that its output is
            (B, 1, D): the same numbers for less work.
          dpam_layers: The number of last layers that feed a second stream, which starts as the first and to
            which each layer adds its attention alone, computed from the first stream with another kernel
            (Zhou et al. 2024, "AnomalyCLIP", section 3.3). The intermediates of these layers are the second
            stream. The first stream is CLIP's own.
          attention: The kernel of the second stream.
        """
        hidden, intermediates = self.ln_pre(tokens), {}
        local = None  # the second stream
        for number, layer in enumerate(self.layers, start=1):
            queries = 1 if class_only and number == len(self.layers) else None
            if number <= len(self.layers) - dpam_layers:
                hidden = layer(hidden, "qk", queries)
            else:
                before = hidden if local is None else local
                hidden, added = layer.two_paths(hidden, attention, queries)
                local = before + added
            intermediates[layer_name(number)] = hidden if local is None else local
        return hidden, intermediates

    def norm(self, hidden: jax.Array) -> jax.Array:
        """Apply the last layer norm: (..., D) -> (..., D)."""
        return self.ln_post(hidden)

    def project(self, hidden: jax.Array) -> jax.Array:
        """Apply the last layer norm and the projection: (..., D) -> (..., E)."""
        return self.projection(self.ln_post(hidden))

    def project_unnormed(self, hidden: jax.Array) -> jax.Array:
        """Apply the projection without the layer norm: (..., D) -> (..., E)."""
        return self.projection(hidden)

    def encode_tokens(self, tokens: jax.Array, merge: int = 0) -> jax.Array:
        """Return the embeddings (B, E) of embedded tokens (B, T, D), class token first.

        `merge` is the number of tokens merged in each layer but the last, see `backbones.merging`. Merging
        would save nothing in the last layer, which is computed for the class token alone.
        """
        if not merge:
            hidden, _ = self.transform(tokens, class_only=True)
            return self.project(hidden[:, 0])
        hidden, sizes = self.ln_pre(tokens), jnp.ones(tokens.shape[:2])
        for layer in self.layers[:-1]:
            hidden, sizes = layer.merging(hidden, sizes, merge)
        return self.project(self.layers[-1](hidden, proportional(sizes), queries=1)[:, 0])


class TextTransformer(nn.Module):
    """CLIP's causal text transformer, whose output is that at the first end token."""

    config: CLIPConfig
    dtype: str = "float32"

    def setup(self) -> None:
        """Make the layers and parameters."""
        text = self.config.text
        self.token_embedding = self.param(
            "token_embedding", nn.initializers.normal(0.02), (text.vocab_size, text.width)
        )
        self.position_embedding = self.param(
            "position_embedding", nn.initializers.normal(0.01), (text.context_length, text.width)
        )
        self.layers = blocks(self.config, "text", self.dtype)
        self.ln_final = layer_norm(self.config.layer_norm_eps)
        self.projection = Linear(self.config.embed_dim, self.dtype, use_bias=False)

    def __call__(self, token_ids: jax.Array) -> tuple[jax.Array, Intermediates]:
        """Return the embeddings (N, E) of token ids int (N, T), and the stream after each layer.

        T is at most the context length. Tokens after the end token do not change the output, so T may be the
        length of the longest sentence in a batch.
        """
        end = jnp.argmax(token_ids == self.config.text.eos_token_id, axis=-1)
        return self.encode_embedded(self.token_embedding[token_ids], end)

    def encode_embedded(
        self, tokens: jax.Array, end: jax.Array, deep: jax.Array | None = None
    ) -> tuple[jax.Array, Intermediates]:
        """Return the embeddings of embedded tokens, and the stream after each layer, as `__call__`.

        Args:
          tokens: (N, T, D), without positions.
          end: (N,), the positions of the end tokens.
          deep: (K, m, D), learned tokens that replace the m tokens after the start token before each of K
            layers from the second on (Zhou et al. 2024, "AnomalyCLIP", section 3.2).
        """
        hidden = tokens + self.position_embedding[: tokens.shape[1]]  # (N, T, D)
        intermediates = {}
        for number, layer in enumerate(self.layers, start=1):
            if deep is not None and 2 <= number < 2 + len(deep):
                prompt = jnp.broadcast_to(deep[number - 2], (len(hidden), *deep.shape[1:]))
                hidden = jnp.concatenate([hidden[:, :1], prompt, hidden[:, 1 + deep.shape[1] :]], axis=1)
            hidden = layer(hidden, "causal")
            intermediates[layer_name(number)] = hidden
        ends = jnp.take_along_axis(hidden, end[:, None, None], axis=1)[:, 0]  # (N, D)
        return self.projection(self.ln_final(ends)), intermediates


class CLIPModule(nn.Module):
    """Both towers and the learned logit scale, to initialise and train all parameters together."""

    config: CLIPConfig
    dtype: str = "float32"

    def setup(self) -> None:
        """Make both towers and the logit scale."""
        self.vision = VisionTransformer(self.config, self.dtype)
        self.text = TextTransformer(self.config, self.dtype)
        # exp(2.6592) = 1 / 0.07, the start of CLIP's training.
        self.logit_scale = self.param("logit_scale", nn.initializers.constant(2.6592), ())

    def __call__(self, images: jax.Array, token_ids: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Return image embeddings (B, E), text embeddings (N, E), and the scale of logits."""
        return self.vision(images)[0], self.text(token_ids)[0], jnp.exp(self.logit_scale)
