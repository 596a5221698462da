"""Prompt ensembles as data, and embedded prompts with room for learned tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.backbones.tokenizer import shortened
from vlmad_jax.errors import InputError


@dataclass(frozen=True)
class PromptEnsemble:
    """Normal and anomalous prompts, which fill every template with every state.

    Attributes:
      normal_states: Phrases of a normal object with "{}" in place of its name.
      anomalous_states: Phrases of an anomalous object with "{}" in place of its name.
      templates: Sentences with "{}" in place of a state.
    """

    normal_states: tuple[str, ...]
    anomalous_states: tuple[str, ...]
    templates: tuple[str, ...]

    def __repr__(self) -> str:
        return (
            f"PromptEnsemble({len(self.normal_states)} normal and {len(self.anomalous_states)} anomalous "
            f"states, {len(self.templates)} templates)"
        )

    def normal(self, object_name: str) -> list[str]:
        """Return the normal prompts of an object, grouped by state.

        >>> PromptEnsemble(("{}", "flawless {}"), (), ("a photo of a {}.",)).normal("nut")
        ['a photo of a nut.', 'a photo of a flawless nut.']
        """
        return self._fill(self.normal_states, object_name)

    def anomalous(self, object_name: str) -> list[str]:
        """Return the anomalous prompts of an object, grouped by state."""
        return self._fill(self.anomalous_states, object_name)

    def _fill(self, states: tuple[str, ...], object_name: str) -> list[str]:
        return [template.format(state.format(object_name)) for state in states for template in self.templates]


NORMAL_STATES = (
    "{}",
    "flawless {}",
    "perfect {}",
    "unblemished {}",
    "{} without flaw",
    "{} without defect",
    "{} without damage",
)

# Jeong et al. 2023, "WinCLIP", table 6, in the wording of anomalib 2.7.0, which repeats "a jpeg corrupted
# photo of the {}.". The paper has "a {}." in one of the two.
WINCLIP = PromptEnsemble(
    NORMAL_STATES,
    ("damaged {}", "{} with flaw", "{} with defect", "{} with damage"),
    (
        "a cropped photo of the {}.",
        "a close-up photo of a {}.",
        "a close-up photo of the {}.",
        "a bright photo of a {}.",
        "a bright photo of the {}.",
        "a dark photo of the {}.",
        "a dark photo of a {}.",
        "a jpeg corrupted photo of the {}.",
        "a jpeg corrupted photo of the {}.",
        "a blurry photo of the {}.",
        "a blurry photo of a {}.",
        "a photo of a {}.",
        "a photo of the {}.",
        "a photo of a small {}.",
        "a photo of the small {}.",
        "a photo of a large {}.",
        "a photo of the large {}.",
        "a photo of the {} for visual inspection.",
        "a photo of a {} for visual inspection.",
        "a photo of the {} for anomaly detection.",
        "a photo of a {} for anomaly detection.",
    ),
)

# Chen et al. 2023, "APRIL-GAN", in the wording and order of the authors' code.
APRIL_GAN = PromptEnsemble(
    NORMAL_STATES,
    ("damaged {}", "broken {}", "{} with flaw", "{} with defect", "{} with damage"),
    (
        "a bad photo of a {}.",
        "a low resolution photo of the {}.",
        "a bad photo of the {}.",
        "a cropped photo of the {}.",
        "a bright photo of a {}.",
        "a dark photo of the {}.",
        "a photo of my {}.",
        "a photo of the cool {}.",
        "a close-up photo of a {}.",
        "a black and white photo of the {}.",
        "a bright photo of the {}.",
        "a cropped photo of a {}.",
        "a jpeg corrupted photo of a {}.",
        "a blurry photo of the {}.",
        "a photo of the {}.",
        "a good photo of the {}.",
        "a photo of one {}.",
        "a close-up photo of the {}.",
        "a photo of a {}.",
        "a low resolution photo of a {}.",
        "a photo of a large {}.",
        "a blurry photo of a {}.",
        "a jpeg corrupted photo of the {}.",
        "a good photo of a {}.",
        "a photo of the small {}.",
        "a photo of the large {}.",
        "a black and white photo of a {}.",
        "a dark photo of a {}.",
        "a photo of a cool {}.",
        "a photo of a small {}.",
        "there is a {} in the scene.",
        "there is the {} in the scene.",
        "this is a {} in the scene.",
        "this is the {} in the scene.",
        "this is one {} in the scene.",
    ),
)


def ensemble_prompts(clip: CLIP, ensemble: PromptEnsemble, object_name: str) -> tuple[list[str], list[str]]:
    """Return the normal and the anomalous prompts of an object.

    Raises:
      InputError: Truncation makes a normal and an anomalous prompt equal.
    """
    normal, anomalous = ensemble.normal(object_name), ensemble.anomalous(object_name)
    check_distinct(clip, normal, anomalous)
    return normal, anomalous


def check_distinct(clip: CLIP, normal: Sequence[str], anomalous: Sequence[str], room: int = 0) -> None:
    """Check that truncation to the context length makes no normal and anomalous prompt equal.

    `room` is the number of tokens of the context that learned ones take.

    Raises:
      InputError: It does.
    """
    prompts = [*normal, *anomalous]
    truncated = set(clip.truncated(prompts, room))
    if not truncated:
        return
    rows = [row.tobytes() for row in clip.token_ids(prompts, room)]
    known = dict(zip(rows[: len(normal)], normal, strict=True))
    for row, prompt in zip(rows[len(normal) :], anomalous, strict=True):
        if row in known and {prompt, known[row]} & truncated:
            raise InputError(
                f"{shortened(known[row])} and {shortened(prompt)} are the same prompt after truncation to "
                f"{clip.config.text.context_length} tokens; give a shorter name or shorter prompts"
            )


class EmbeddedPrompts(NamedTuple):
    """Embedded prompts, each with room for learned tokens after the start token, where there is one.

    Attributes:
      tokens: (..., T, D).
      end: (...), the position of the token whose output is the embedding.
    """

    tokens: jax.Array
    end: jax.Array


def embed_prompts(clip: CLIP, texts: Sequence[str], context_length: int) -> EmbeddedPrompts:
    """Embed N prompts that consist of learned tokens and a text.

    Args:
      clip: The backbone.
      texts: The texts after the learned tokens, alternately normal and anomalous ("object.",
        "damaged object.").
      context_length: The number of learned tokens.

    Returns:
      Tokens (N, T, D) and end (N,).

    Raises:
      InputError: The backbone has no tokenizer, or truncation makes a normal and an anomalous prompt equal.
    """
    check_distinct(clip, texts[::2], texts[1::2], context_length)
    clip.warn_of_truncation(texts, context_length)
    token_ids = clip.token_ids(texts, context_length)
    table = jnp.asarray(clip.params["text"]["token_embedding"], jnp.float32)
    return EmbeddedPrompts(table[token_ids], clip.config.text_transformer.ends(jnp.asarray(token_ids)))


def insert_learned(tokens: jax.Array, learned: jax.Array, start: int = 1) -> jax.Array:
    """Put learned tokens (N, n, D) after the first `start` tokens of embedded prompts (N, T, D)."""
    return jnp.concatenate([tokens[:, :start], learned, tokens[:, start + learned.shape[1] :]], axis=1)
