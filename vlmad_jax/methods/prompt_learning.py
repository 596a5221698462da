"""Sentences whose first words are learned, as CoOp and AnomalyCLIP have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.methods.sentences import check_told_apart


def embed_sentences(clip: CLIP, sentences: Sequence[str], context_length: int) -> dict[str, Any]:
    """What is frozen of N sentences that follow n learned tokens.

    Args:
      clip: the backbone.
      sentences: what follows the learned tokens, normal and anomalous by turns: "object.", "damaged object."
      context_length: n.

    Returns:
      "tokens" (N, T, D), embedded, with room for the learned ones after the start token, and "end" (N,), the
      places of the end tokens.

    Raises:
      InputError: a backbone without a tokenizer, or a normal and an anomalous sentence that are the same
        where they are cut.
    """
    filled = ["X " * context_length + sentence for sentence in sentences]
    check_told_apart(clip, filled[::2], filled[1::2])
    clip.tell_of_cut(filled)
    token_ids = clip.token_ids(filled)
    table = jnp.asarray(clip.params["text"]["token_embedding"], jnp.float32)
    return {
        "tokens": table[token_ids],
        "end": jnp.argmax(jnp.asarray(token_ids) == clip.config.text.eos_token_id, axis=-1),
    }


def with_context(tokens: jax.Array, learned: jax.Array) -> jax.Array:
    """The sentences (N, T, D) with the learned tokens (N, n, D) in the room that was left for them."""
    return jnp.concatenate([tokens[:, :1], learned, tokens[:, 1 + learned.shape[1] :]], axis=1)
