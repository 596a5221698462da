"""Sentences to token ids, through the checkpoint's own tokenizer."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from vlmad_jax.clip.config import TextConfig
from vlmad_jax.clip.library import transformers
from vlmad_jax.errors import InputError

# Sentences are padded to a multiple of this many tokens, so that few lengths are ever compiled.
LENGTH_STEP = 16


def load_tokenizer(directory: pathlib.Path, config: TextConfig) -> Any:
    """The transformers tokenizer of a checkpoint's directory.

    Raises:
      InputError: the directory holds none, one that does not load, or one that was made for another model.
    """
    if not any((directory / name).exists() for name in ("tokenizer.json", "vocab.json")):
        raise InputError(f"{directory}: holds no tokenizer.json; copy the one of the model it was made from")
    try:
        tokenizer = transformers().CLIPTokenizer.from_pretrained(directory)
    except Exception as error:  # the tokenizers library raises bare Exception for a broken file
        reason = str(error).splitlines()[0]
        raise InputError(f"{directory}: its tokenizer does not load ({reason}); download it again") from error
    if tokenizer.eos_token_id != config.eos_token_id or len(tokenizer) > config.vocab_size:
        raise InputError(
            f"{directory}: its tokenizer has {len(tokenizer)} tokens and ends with {tokenizer.eos_token_id}, "
            f"the model {config.vocab_size} and {config.eos_token_id}; copy the model's own"
        )
    return tokenizer


def tokenize(tokenizer: Any, sentences: Sequence[str], context_length: int, length: int = 0) -> np.ndarray:
    """Sentences -> int32 (N, T), cut at the context length and padded.

    T is `length`, or else that of the longest sentence rounded up to a multiple of 16. CLIP reads a sentence
    at its end token and attends backwards only, so the padding changes nothing. A sentence that is cut keeps
    its end token.
    """
    rows = tokenizer(list(sentences), truncation=True, max_length=context_length)["input_ids"]
    longest = max(len(row) for row in rows)
    length = length or min(-(-longest // LENGTH_STEP) * LENGTH_STEP, context_length)
    token_ids = np.zeros((len(rows), length), np.int32)
    for row, tokens in zip(token_ids, rows, strict=True):
        row[: len(tokens)] = tokens
    return token_ids
