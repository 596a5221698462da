"""Sentences to token ids, through the checkpoint's own tokenizer."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import pathlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from vlmad_jax.clip.config import TextConfig
from vlmad_jax.clip.library import transformers
from vlmad_jax.errors import InputError

# Sentences are padded to a multiple of this many tokens, so that few lengths are ever compiled.
LENGTH_STEP = 16
# Those of a directory that a tokenizer is made from.
FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
)
# The token that ends a sentence, unless the tokenizer names another.
END = "<|endoftext|>"


@dataclass(frozen=True)
class SavedTokenizer:
    """The transformers tokenizer of a checkpoint's directory.

    It is loaded when it is first used: the transformers library takes a second to import.
    """

    directory: pathlib.Path

    @functools.cached_property
    def loaded(self) -> Any:
        """The tokenizer itself; InputError if the files do not make one."""
        with refusing(self.directory):
            return transformers().CLIPTokenizer.from_pretrained(self.directory)

    @property
    def bos_token_id(self) -> int:
        """The token that starts a sentence."""
        return self.loaded.bos_token_id

    @property
    def backend_tokenizer(self) -> Tokenizer:
        """The tokenizer of the tokenizers library."""
        return self.loaded.backend_tokenizer

    def __call__(self, sentences: Sequence[str], **options: Any) -> Any:
        """What the tokenizer returns for the sentences."""
        return self.loaded(sentences, **options)

    def save_pretrained(self, directory: str | pathlib.Path) -> None:
        """Writes the tokenizer's files."""
        self.loaded.save_pretrained(directory)

    @functools.cached_property
    def digest(self) -> str:
        """64 hexadecimal digits that change with any file of the tokenizer and the libraries that read it."""
        digest = hashlib.sha256(repr([version(name) for name in ("transformers", "tokenizers")]).encode())
        for path in (self.directory / name for name in FILES):
            if path.exists():
                digest.update(path.name.encode() + path.read_bytes())
        return digest.hexdigest()

    def size_and_end(self) -> tuple[int, int | None]:
        """How many tokens there are, and the one that ends a sentence; InputError if the files are broken."""
        path = self.directory / "tokenizer.json"
        if not path.exists():
            return len(self.loaded), self.loaded.eos_token_id
        with refusing(self.directory):
            tokenizer = Tokenizer.from_file(str(path))
            settings = self.directory / "tokenizer_config.json"
            named = json.loads(settings.read_text(encoding="utf-8")) if settings.exists() else {}
            end = named.get("eos_token", END)
            name = end if isinstance(end, str) else end["content"]
            return tokenizer.get_vocab_size(), tokenizer.token_to_id(name)


@contextlib.contextmanager
def refusing(directory: pathlib.Path) -> Iterator[None]:
    """Raises InputError for whatever a tokenizer's broken files raise."""
    try:
        yield
    except Exception as error:  # the tokenizers library raises bare Exception for a broken file
        reason = str(error).splitlines()[0]
        raise InputError(f"{directory}: its tokenizer does not load ({reason}); download it again") from error


def load_tokenizer(directory: pathlib.Path, config: TextConfig) -> SavedTokenizer:
    """The tokenizer of a checkpoint's directory.

    Raises:
      InputError: the directory holds none, one that does not load, or one that was made for another model.
    """
    if not any((directory / name).exists() for name in ("tokenizer.json", "vocab.json")):
        raise InputError(f"{directory}: holds no tokenizer.json; copy the one of the model it was made from")
    tokenizer = SavedTokenizer(directory)
    size, end = tokenizer.size_and_end()
    if end != config.eos_token_id or size > config.vocab_size:
        raise InputError(
            f"{directory}: its tokenizer has {size} tokens and ends with {end}, "
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
