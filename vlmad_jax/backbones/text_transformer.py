"""The text transformer of CLIP and SigLIP as a Flax module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from vlmad_jax.backbones.transformer import (
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
class TextTransformerConfig(TransformerConfig):
    """The shape of a text transformer.

    Attributes:
      vocab_size: The number of tokens.
      context_length: The largest number of tokens of a sentence.
      eos_token_id: The end token; the embedding is that at the first one.
      embed_dim: E, the width of embeddings.
      attention: The kernel, "causal" in CLIP and "qk" in SigLIP.
      pooling: The embedding is that of the "end" token, or of the "last" one of a padded sentence.
      projection_bias: Whether the projection to embeddings has a bias.
    """

    vocab_size: int
    context_length: int
    eos_token_id: int
    embed_dim: int
    attention: Literal["causal", "qk"] = "causal"
    pooling: Literal["end", "last"] = "end"
    projection_bias: bool = False

    def ends(self, token_ids: jax.Array) -> jax.Array:
        """Return the position of the token whose output is the embedding: int (..., T) -> int (...)."""
        if self.pooling == "last":
            return jnp.full(token_ids.shape[:-1], token_ids.shape[-1] - 1)
        return jnp.argmax(token_ids == self.eos_token_id, axis=-1)


class TextTransformer(nn.Module):
    """A text transformer whose output is that at one token."""

    config: TextTransformerConfig
    dtype: str = "float32"

    def setup(self) -> None:
        """Make the layers and parameters."""
        text = self.config
        self.token_embedding = self.param(
            "token_embedding", nn.initializers.normal(0.02), (text.vocab_size, text.width)
        )
        self.position_embedding = self.param(
            "position_embedding", nn.initializers.normal(0.01), (text.context_length, text.width)
        )
        self.layers = blocks(text, self.dtype)
        self.ln_final = layer_norm(text.eps)
        self.projection = Linear(text.embed_dim, self.dtype, use_bias=text.projection_bias)

    def __call__(self, token_ids: jax.Array) -> tuple[jax.Array, Intermediates]:
        """Return the embeddings (N, E) of token ids int (N, T), and the stream after each layer.

        T is at most the context length. With causal attention tokens after the end token do not change the
        output, so T may be the length of the longest sentence in a batch.
        """
        return self.encode_embedded(self.token_embedding[token_ids], self.config.ends(token_ids))

    def step(self, layer: Block, hidden: jax.Array, number: int) -> jax.Array:
        """Return the output of a layer for the stream: (N, T, D) -> (N, T, D)."""
        del number
        return layer(hidden, self.config.attention)

    def encode_embedded(
        self, tokens: jax.Array, end: jax.Array, step: Step | None = None
    ) -> tuple[jax.Array, Intermediates]:
        """Return the embeddings of embedded tokens, and the stream after each layer, as `__call__`.

        Args:
          tokens: (N, T, D), without positions.
          end: (N,), the positions of the end tokens.
          step: A function (layer, stream, number) -> stream in place of the layer's own, see `vit.Step`.
        """
        hidden = tokens + self.position_embedding[: tokens.shape[1]]  # (N, T, D)
        intermediates = {}
        for number, layer in enumerate(self.layers, start=1):
            hidden = (step or self.step)(layer, hidden, number)
            intermediates[layer_name(number)] = hidden
        ends = jnp.take_along_axis(hidden, end[:, None, None], axis=1)[:, 0]  # (N, D)
        return self.projection(self.ln_final(ends)), intermediates
