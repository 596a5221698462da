"""Sentences whose first words are learned, as CoOp and AnomalyCLIP have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from vlmad_jax.clip.model import CLIP
from vlmad_jax.clip.text import tokenize
from vlmad_jax.errors import InputError


def embed_sentences(clip: CLIP, sentences: Sequence[str], context_length: int) -> dict[str, Any]:
    """What is frozen of N sentences that follow n learned tokens.

    Args:
      clip: the backbone.
      sentences: what follows the learned tokens, "damaged object."
      context_length: n.

    Returns:
      "tokens" (N, T, D), embedded, with room for the learned ones after the start token, and "end" (N,), the
      places of the end tokens.

    Raises:
      InputError: a backbone without a tokenizer.
    """
    if clip.tokenizer is None:
        raise InputError(f"{clip.name}: has no tokenizer; load a checkpoint that holds one")
    config = clip.config.text
    filled = ["X " * context_length + sentence for sentence in sentences]
    token_ids = tokenize(clip.tokenizer, filled, config.context_length)
    table = jnp.asarray(clip.params["text"]["token_embedding"], jnp.float32)
    return {
        "tokens": table[token_ids],
        "end": jnp.argmax(jnp.asarray(token_ids) == config.eos_token_id, axis=-1),
    }


def with_context(tokens: jax.Array, learned: jax.Array) -> jax.Array:
    """The sentences (N, T, D) with the learned tokens (N, n, D) in the room that was left for them."""
    return jnp.concatenate([tokens[:, :1], learned, tokens[:, 1 + learned.shape[1] :]], axis=1)
