"""Prompt ensembles as data: states of an object put into photo templates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.backbones.tokenizer import shortened
from vlmad_jax.errors import InputError


@dataclass(frozen=True)
class PromptEnsemble:
    """Sentences for a good and a defective object: every template filled with every state.

    States hold "{}" where the object's name goes, templates where the state goes.
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
        """Sentences of a good object, states first, in the order of the templates.

        >>> PromptEnsemble(("{}", "flawless {}"), (), ("a photo of a {}.",)).normal("nut")
        ['a photo of a nut.', 'a photo of a flawless nut.']
        """
        return self._fill(self.normal_states, object_name)

    def anomalous(self, object_name: str) -> list[str]:
        """Sentences of a defective object."""
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

# Jeong et al. 2023, "WinCLIP", table 6, in the wording of anomalib 2.7.0 (its "jpeg corrupted photo of the"
# stands twice, where the paper has "a" once).
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

# Chen et al. 2023, "APRIL-GAN": the sentences of the authors' code, its templates in their order there.
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


def ensemble_sentences(clip: CLIP, prompts: PromptEnsemble, object_name: str) -> tuple[list[str], list[str]]:
    """The normal and the anomalous sentences of an object; InputError as `check_told_apart` raises."""
    normal, anomalous = prompts.normal(object_name), prompts.anomalous(object_name)
    check_told_apart(clip, normal, anomalous)
    return normal, anomalous


def check_told_apart(clip: CLIP, normal: Sequence[str], anomalous: Sequence[str]) -> None:
    """Raises InputError if a normal and an anomalous sentence are the same where they are cut."""
    sentences = [*normal, *anomalous]
    cut = set(clip.cut(sentences))
    if not cut:
        return
    rows = [row.tobytes() for row in clip.token_ids(sentences)]
    known = dict(zip(rows[: len(normal)], normal, strict=True))
    for row, sentence in zip(rows[len(normal) :], anomalous, strict=True):
        if row in known and {sentence, known[row]} & cut:
            raise InputError(
                f"{shortened(known[row])} and {shortened(sentence)} are the same once they are cut at "
                f"{clip.config.text.context_length} tokens; give a shorter name or shorter words"
            )


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
