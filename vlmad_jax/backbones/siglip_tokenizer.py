"""The tokenizers of SigLIP and SigLIP 2, and sentences to token ids.

Both read `tokenizer.json`. A sentence has no start token, ends with the end token and is padded to the
context length, because the embedding is that at the last place.
"""

from __future__ import annotations

import functools
import json
import pathlib
import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tokenizers import Tokenizer, models, normalizers

from vlmad_jax.backbones.tokenizer import LEAST_SHARED, SavedTokenizer, raising_input_errors, token_name
from vlmad_jax.errors import InputError

# The special tokens by role, unless the files name others: of SigLIP, which pads with the end token, and of
# SigLIP 2, whose tokenizer is Gemma's.
SENTENCE_PIECE = {"eos_token": "</s>", "pad_token": "</s>"}
GEMMA = {"eos_token": "<eos>", "pad_token": "<pad>"}
PUNCTUATION = str.maketrans("", "", string.punctuation)


def canonical(sentence: str) -> str:
    """Return a sentence as SigLIP was trained with: in lower case, without punctuation.

    >>> canonical("A photo of  the metal-nut, ready.")
    'a photo of the metalnut ready'
    """
    return re.sub(r"\s+", " ", sentence.lower().translate(PUNCTUATION)).strip()


@dataclass(frozen=True)
class SigLIPTokenizer(SavedTokenizer):
    """The tokenizer of a SigLIP checkpoint's directory.

    SigLIP's is a unigram model, for which sentences are made `canonical`. SigLIP 2's is Gemma's, for which
    they are put in lower case, as in its training. The published files of SigLIP 2 do not ask for it.
    """

    @functools.cached_property
    def encoder(self) -> Tokenizer:
        """The tokenizer of the tokenizers library, which neither truncates nor pads."""
        with raising_input_errors(self.directory):
            tokenizer = Tokenizer.from_file(str(self.directory / "tokenizer.json"))
            tokenizer.no_truncation()
            tokenizer.no_padding()
            if not isinstance(tokenizer.model, models.Unigram):
                own = tokenizer.normalizer
                lower = normalizers.Lowercase()
                tokenizer.normalizer = lower if own is None else normalizers.Sequence([lower, own])
        return tokenizer

    @property
    def backend_tokenizer(self) -> Tokenizer:
        """The tokenizer of the tokenizers library."""
        return self.encoder

    @functools.cached_property
    def is_sentence_piece(self) -> bool:
        """Whether this is the tokenizer of the first SigLIP."""
        return isinstance(self.encoder.model, models.Unigram)

    @functools.cached_property
    def special(self) -> dict[str, str]:
        """The end and the pad token by role."""
        usual = SENTENCE_PIECE if self.is_sentence_piece else GEMMA
        entries: dict[str, Any] = {}
        with raising_input_errors(self.directory):
            for name in ("tokenizer_config.json", "special_tokens_map.json"):
                if (path := self.directory / name).exists():
                    entries |= json.loads(path.read_text(encoding="utf-8"))
        return {role: token_name(entries.get(role, token), token)[0] for role, token in usual.items()}

    @property
    def end(self) -> int | None:
        """The id of the end token."""
        return self.encoder.token_to_id(self.special["eos_token"])

    @property
    def pad(self) -> int | None:
        """The id of the pad token."""
        return self.encoder.token_to_id(self.special["pad_token"])

    def convert_ids_to_tokens(self, token_id: int) -> str:
        """Return the token of an id."""
        return str(self.encoder.id_to_token(token_id))

    def __call__(self, sentences: Sequence[str], **options: Any) -> dict[str, list[list[int]]]:
        """Return the token ids of sentences, each truncated to `max_length` with its end token."""
        given = [canonical(x) for x in sentences] if self.is_sentence_piece else list(sentences)
        encoded = self.encoder.encode_batch(given, add_special_tokens=False)
        end, most = self.end, options["max_length"] - 1
        assert end is not None, "checked when the tokenizer is loaded"
        return {"input_ids": [[*x.ids[:most], end] for x in encoded]}


def load_tokenizer(directory: pathlib.Path, vocab_size: int) -> SigLIPTokenizer:
    """Load the tokenizer of a checkpoint.

    Raises:
      InputError: The directory has no tokenizer, a damaged one, or one of another model.
    """
    if not (directory / "tokenizer.json").exists():
        also = ", only a spiece.model" if (directory / "spiece.model").exists() else ""
        raise InputError(
            f"{directory}: has no tokenizer.json{also}; copy the one of the model it was made from, for "
            "example of google/siglip-base-patch16-224"
        )
    tokenizer = SigLIPTokenizer(directory)
    size, end, pad = tokenizer.encoder.get_vocab_size(), tokenizer.end, tokenizer.pad
    known = end is not None and pad is not None and max(end, pad) < vocab_size
    if not known or size <= vocab_size * LEAST_SHARED:
        raise InputError(
            f"{directory}: its tokenizer has {size} tokens, ends with {end} and pads with {pad}, the model "
            f"has {vocab_size}; copy the model's own"
        )
    return tokenizer


def tokenize(
    tokenizer: SigLIPTokenizer, sentences: Sequence[str], context_length: int, room: int = 0
) -> np.ndarray:
    """Return the token ids int32 (N, context_length) of N sentences, truncated and padded.

    The first `room` tokens are pad tokens, to be replaced by learned ones.
    """
    rows = tokenizer(sentences, max_length=context_length - room)["input_ids"]
    token_ids = np.full((len(rows), context_length), tokenizer.pad, np.int32)
    for row, tokens in zip(token_ids, rows, strict=True):
        row[room : room + len(tokens)] = tokens
    return token_ids
