"""The pre-norm vision transformer that CLIP, DINOv2, DINOv3 and SigLIP share, as a Flax module.

What differs between families is data of `ViTConfig`. What differs between methods, such as a second stream
or merged tokens, is a function that `VisionTransformer.through` applies layer by layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from vlmad_jax.backbones.attention import Kernel
from vlmad_jax.backbones.backbone import Tokens
from vlmad_jax.backbones.positions import resize_positions, rotary, rotary_angles
from vlmad_jax.backbones.transformer import (
    MLP,
    Attention,
    Block,
    Intermediates,
    Linear,
    Step,
    TransformerConfig,
    blocks,
    layer_name,
    layer_norm,
)


@dataclass(frozen=True, kw_only=True)
class ViTConfig(TransformerConfig):
    """The shape of a vision transformer and its preprocessing.

    Attributes:
      image_size: The side in pixels of the images that it was trained with.
      patch_size: The side of a patch in pixels.
      image_mean: The mean of pixels / 255 in each channel.
      image_std: The standard deviation of pixels / 255 in each channel.
      embed_dim: E of the projection after the pooling; None without projection.
      class_token: Whether the first token is one of the whole image.
      registers: The number of further tokens of no place (Darcet et al. 2024), after the class token.
      patch_bias: Whether the embedding of patches has a bias.
      positions: "learned" embeddings, or "rotary" ones of queries and keys.
      position_resize: How learned positions are resized to another grid, a name in `positions.RESIZES`.
      rope_base: The base of the frequencies of rotary positions.
      pre_norm: Whether a layer norm precedes the first layer.
      pooling: The image embedding is made from the "class" token, by "attention" over all tokens, or is the
        "mean" of all tokens after the last norm.
    """

    image_size: int
    patch_size: int
    image_mean: tuple[float, float, float]
    image_std: tuple[float, float, float]
    embed_dim: int | None = None
    class_token: bool = True
    registers: int = 0
    patch_bias: bool = False
    positions: Literal["learned", "rotary"] = "learned"
    position_resize: str = "bicubic"
    rope_base: float = 100.0
    pre_norm: bool = False
    pooling: Literal["class", "attention", "mean"] = "class"

    @property
    def side(self) -> int:
        """The number of patches a side at the trained image size."""
        return self.image_size // self.patch_size

    @property
    def prefix(self) -> int:
        """The number of tokens before those of patches."""
        return self.class_token + self.registers


class AttentionPooling(nn.Module):
    """One learned query that attends to all tokens, and an MLP (Zhai et al. 2022, "Scaling ViTs")."""

    config: TransformerConfig
    dtype: str

    def setup(self) -> None:
        """Make the query and the layers."""
        self.probe = self.param("probe", nn.initializers.normal(0.02), (1, 1, self.config.width))
        self.attention = Attention(self.config, self.dtype)
        self.norm = layer_norm(self.config.eps)
        self.mlp = MLP(self.config, self.dtype)

    def __call__(self, hidden: jax.Array) -> jax.Array:
        """Pool tokens: (B, T, D) -> (B, D)."""
        asking = jnp.broadcast_to(self.probe, (len(hidden), 1, self.config.width))
        attended = self.attention.attend("qk", *self.attention.project(hidden, asking=asking))
        return self.add_mlp(attended)[:, 0]

    def alone(self, hidden: jax.Array) -> jax.Array:
        """Pool each token by itself, so that all attention is on it: (..., D) -> (..., D)."""
        return self.add_mlp(self.attention.out(self.attention.value(hidden)))

    def add_mlp(self, attended: jax.Array) -> jax.Array:
        """Add the output of the MLP."""
        return attended + self.mlp(self.norm(attended))


class VisionTransformer(nn.Module):
    """A ViT in steps that methods recombine: `embed`, `through` or `transform`, `norm` and `pool`."""

    config: ViTConfig
    dtype: str = "float32"

    def setup(self) -> None:
        """Make the layers and parameters."""
        shape = self.config
        self.patch_embedding = Linear(shape.width, self.dtype, shape.patch_bias)
        scale = nn.initializers.normal(shape.width**-0.5)
        if shape.class_token:
            self.class_embedding = self.param("class_embedding", scale, (shape.width,))
        if shape.registers:
            self.register_embedding = self.param("registers", scale, (shape.registers, shape.width))
        if shape.positions == "learned":
            places = shape.side**2 + shape.class_token
            self.position_embedding = self.param("position_embedding", scale, (places, shape.width))
        if shape.pre_norm:
            self.ln_pre = layer_norm(shape.eps)
        self.layers = blocks(shape, self.dtype)
        self.ln_post = layer_norm(shape.eps)
        if shape.pooling == "attention":
            self.pooling = AttentionPooling(shape, self.dtype)
        if shape.embed_dim is not None:
            self.projection = Linear(shape.embed_dim, self.dtype, use_bias=False)

    def __call__(self, images: jax.Array) -> tuple[jax.Array, Intermediates]:
        """Return the embeddings (B, E) of images, and the residual stream (B, T, D) after each layer."""
        hidden, intermediates = self.transform(self.embed(images), grid=self.grid(images))
        return self.pool(hidden), intermediates

    def grid(self, images: jax.Array) -> tuple[int, int]:
        """Return the rows and columns of patches of images (B, height, width, 3)."""
        patch = self.config.patch_size
        return images.shape[1] // patch, images.shape[2] // patch

    def embed(self, images: jax.Array) -> jax.Array:
        """Return all tokens with positions, before the first norm: uint8 (B, height, width, 3) -> (B, T, D).

        The class token and registers, where there are any, precede the patches.
        """
        shape, (rows, columns), batch = self.config, self.grid(images), len(images)
        patch = shape.patch_size
        mean, std = jnp.array(shape.image_mean), jnp.array(shape.image_std)
        pixels = (images.astype(jnp.float32) / 255 - mean) / std
        pixels = pixels[:, : rows * patch, : columns * patch]  # a convolution drops incomplete patches
        pixels = pixels.reshape(batch, rows, patch, columns, patch, 3).transpose(0, 1, 3, 2, 4, 5)
        tokens = self.patch_embedding(pixels.reshape(batch, rows * columns, patch * patch * 3))  # (B, P, D)
        if shape.class_token:
            class_token = jnp.broadcast_to(self.class_embedding, (batch, 1, shape.width))
            tokens = jnp.concatenate([class_token, tokens], axis=1)
        if shape.positions == "learned":
            tokens = tokens + resize_positions(
                self.position_embedding, (rows, columns), shape.position_resize, int(shape.class_token)
            )
        if shape.registers:
            registers = jnp.broadcast_to(self.register_embedding, (batch, shape.registers, shape.width))
            first = int(shape.class_token)
            tokens = jnp.concatenate([tokens[:, :first], registers, tokens[:, first:]], axis=1)
        return tokens

    def pre(self, tokens: jax.Array) -> jax.Array:
        """Apply the norm before the first layer, where there is one: (B, T, D) -> (B, T, D)."""
        return self.ln_pre(tokens) if self.config.pre_norm else tokens

    def own_attention(self, grid: tuple[int, int] | None) -> str | Kernel:
        """Return the kernel with which the network was trained, for a grid of rows and columns."""
        if self.config.positions == "learned":
            return "qk"
        assert grid is not None, "rotary positions depend on the grid"
        head_width = self.config.width // self.config.heads
        return rotary("qk", *rotary_angles(grid, head_width, self.config.rope_base))

    def through(self, step: Step, stream: Any) -> list[Any]:
        """Return what `step` makes of the stream at each layer.

        Args:
          step: A function (layer, stream, number) -> stream.
          stream: What the first layer gets, for example `pre(embed(images))`; any tree of arrays.
        """
        streams = []
        for number, layer in enumerate(self.layers, start=1):
            stream = step(layer, stream, number)
            streams.append(stream)
        return streams

    def transform(
        self, tokens: jax.Array, class_only: bool = False, grid: tuple[int, int] | None = None
    ) -> tuple[jax.Array, Intermediates]:
        """Return the last residual stream, and the stream after each layer by name.

        Args:
          tokens: Embedded tokens (B, T, D).
          class_only: Whether to compute the last layer for the first token alone, so that its output is
            (B, 1, D): the same numbers for less work.
          grid: The rows and columns of patches, which rotary positions need.
        """
        attention, last = self.own_attention(grid), self.config.layers

        def step(layer: Block, hidden: jax.Array, number: int) -> jax.Array:
            return layer(hidden, attention, 1 if class_only and number == last else None)

        streams = self.through(step, self.pre(tokens))
        return streams[-1], {layer_name(n): hidden for n, hidden in enumerate(streams, start=1)}

    def norm(self, hidden: jax.Array) -> jax.Array:
        """Apply the last layer norm: (..., D) -> (..., D)."""
        return self.ln_post(hidden)

    def project(self, hidden: jax.Array) -> jax.Array:
        """Apply the last layer norm and the projection, where there is one: (..., D) -> (..., E)."""
        return self.project_unnormed(self.ln_post(hidden))

    def project_unnormed(self, hidden: jax.Array) -> jax.Array:
        """Apply the projection, where there is one, without the layer norm: (..., D) -> (..., E)."""
        return hidden if self.config.embed_dim is None else self.projection(hidden)

    def pool(self, hidden: jax.Array) -> jax.Array:
        """Return the image embedding of the last residual stream: (B, T, D) -> (B, E)."""
        if self.config.pooling == "class":
            return self.project(hidden[:, 0])
        normed = self.ln_post(hidden)
        pooled = self.pooling(normed) if self.config.pooling == "attention" else normed.mean(axis=1)
        return self.project_unnormed(pooled)

    def project_patches(self, patches: jax.Array) -> jax.Array:
        """Return patches in the space of image embeddings: (..., D) -> (..., E).

        A patch is projected as the class token is, or pooled by itself in a network that pools by attention.
        """
        if self.config.pooling == "attention":
            return self.project_unnormed(self.pooling.alone(self.ln_post(patches)))
        return self.project(patches)

    def image_and_patches(self, hidden: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the embeddings of images (B, E) and of their patches (B, P, E): (B, T, D)."""
        if self.config.pooling == "class":
            projected = self.project(hidden)
            return projected[:, 0], projected[:, self.config.prefix :]
        return self.pool(hidden), self.project_patches(hidden[:, self.config.prefix :])

    def extract(self, images: jax.Array, layers: Sequence[int], norm: bool = False) -> Tokens:
        """Return the tokens after some layers, and the image embedding; see `Backbone.extract`."""
        tokens, grid = self.embed(images), self.grid(images)
        if not layers:
            return Tokens((), None, self.encode_tokens(tokens, grid))
        hidden, streams = self.transform(tokens, grid=grid)
        chosen = [streams[layer_name(n)] for n in layers]
        chosen = [self.ln_post(x) for x in chosen] if norm else chosen
        classes = tuple(x[:, 0] for x in chosen) if self.config.class_token else None
        return Tokens(tuple(x[:, self.config.prefix :] for x in chosen), classes, self.pool(hidden))

    def encode_tokens(self, tokens: jax.Array, grid: tuple[int, int] | None = None) -> jax.Array:
        """Return the embeddings (B, E) of embedded tokens (B, T, D), class token first where there is one."""
        hidden, _ = self.transform(tokens, class_only=self.config.pooling == "class", grid=grid)
        return self.pool(hidden)
