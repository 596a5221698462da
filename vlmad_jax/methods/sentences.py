"""Normal and anomalous sentences, which have to differ in what the backbone reads of them."""

from __future__ import annotations

from collections.abc import Sequence

from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.backbones.tokenizer import shortened
from vlmad_jax.errors import InputError
from vlmad_jax.scoring.prompts import PromptEnsemble


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
