"""Sentences to token ids, through the checkpoint's own tokenizer."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import pathlib
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from vlmad_jax.backbones.library import transformers
from vlmad_jax.errors import InputError
from vlmad_jax.runtime.pickling import PickleFieldsOnly

# Sentences are padded to a multiple of this many tokens, so that few lengths are ever compiled.
LENGTH_STEP = 16
# A tokenizer with a smaller share of a model's vocabulary is not the model's: paddings are smaller.
LEAST_SHARED = 0.5
# Those of a directory that a tokenizer is made from.
FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
)
# The tokens of CLIP's tokenizer, unless its files name others.
END = "<|endoftext|>"
KNOWN = {"bos_token": "<|startoftext|>", "eos_token": END, "unk_token": END}


@dataclass(frozen=True)
class SavedTokenizer(PickleFieldsOnly):
    """The transformers tokenizer of a checkpoint's directory.

    It is loaded when it is first used: the transformers library takes a second to import.
    """

    directory: pathlib.Path

    @functools.cached_property
    def loaded(self) -> Any:
        """The tokenizer itself; InputError if the files do not make one."""
        with refusing(self.directory):
            repaired = {name: token for name, (token, plain) in self.named.items() if not plain}
            return transformers().CLIPTokenizer.from_pretrained(self.directory, **repaired)

    @functools.cached_property
    def named(self) -> dict[str, tuple[str, bool]]:
        """Of the tokens in `KNOWN`, what the files call them, and whether transformers reads that as it is.

        A file may leave them out, name null, or an object with the token's "content".
        """
        entries: dict[str, Any] = {}
        for path in (self.directory / name for name in ("tokenizer_config.json", "special_tokens_map.json")):
            if path.exists():
                entries |= json.loads(path.read_text(encoding="utf-8"))
        return {name: token_name(entries.get(name, usual), usual) for name, usual in KNOWN.items()}

    @property
    def bos_token_id(self) -> int:
        """The token that starts a sentence."""
        return self.loaded.bos_token_id

    @property
    def backend_tokenizer(self) -> Tokenizer:
        """The tokenizer of the tokenizers library."""
        return self.loaded.backend_tokenizer

    def convert_ids_to_tokens(self, token_id: int) -> str:
        """The token of an id."""
        return self.loaded.convert_ids_to_tokens(token_id)

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

    @functools.cached_property
    def fast(self) -> Tokenizer | None:
        """The tokenizer of `tokenizer.json`, without the transformers library; None without that file."""
        path = self.directory / "tokenizer.json"
        with refusing(self.directory):
            return Tokenizer.from_file(str(path)) if path.exists() else None

    def size_and_end(self) -> tuple[int, int | None]:
        """How many tokens there are, and the one that ends a sentence; InputError if the files are broken."""
        if self.fast is None:
            return len(self.loaded), self.loaded.eos_token_id
        with refusing(self.directory):
            return self.fast.get_vocab_size(), self.fast.token_to_id(self.named["eos_token"][0])


def token_name(value: Any, usual: str) -> tuple[str, bool]:
    """A token that a file names in one of several ways, and whether transformers reads that way as it is."""
    if isinstance(value, dict):
        return str(value.get("content") or usual), value.get("__type") == "AddedToken"
    return (value, True) if isinstance(value, str) else (usual, False)


@contextlib.contextmanager
def refusing(directory: pathlib.Path) -> Iterator[None]:
    """Raises InputError for whatever a tokenizer's broken files raise."""
    try:
        yield
    except Exception as error:  # the tokenizers library raises bare Exception for a broken file
        reason = str(error).splitlines()[0]
        raise InputError(f"{directory}: its tokenizer does not load ({reason}); download it again") from error


def load_tokenizer(directory: pathlib.Path, vocab_size: int, end: int | None) -> tuple[SavedTokenizer, int]:
    """The tokenizer of a checkpoint's directory, and the id of its end token, at which sentences are read.

    Either may have a few tokens that the other lacks: vocabularies are padded, and tokens are added.

    Args:
      directory: of the checkpoint.
      vocab_size: of the model.
      end: the end token that the model's configuration states; None if it states none.

    Raises:
      InputError: the directory holds none, one that does not load, or one that was made for another model.
    """
    if not any((directory / name).exists() for name in ("tokenizer.json", "vocab.json")):
        raise InputError(f"{directory}: holds no tokenizer.json; copy the one of the model it was made from")
    tokenizer = SavedTokenizer(directory)
    size, own = tokenizer.size_and_end()
    unlike = end is None and size <= vocab_size * LEAST_SHARED
    if own is None or own >= vocab_size or own != (own if end is None else end) or unlike:
        raise InputError(
            f"{directory}: its tokenizer has {size} tokens and ends with {own}, "
            f"the model {vocab_size} and {vocab_size - 1 if end is None else end}; copy the model's own"
        )
    return tokenizer, own


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


def cut_sentences(tokenizer: Any, sentences: Sequence[str], context_length: int) -> list[str]:
    """The sentences of more tokens than the context length."""
    # Most sentences are too short whatever their words: the tokenizer is not even loaded for them.
    long = [sentence for sentence in sentences if most_tokens(sentence) > context_length]
    if not long:
        return []
    rows = tokenizer(long, truncation=True, max_length=context_length + 1)["input_ids"]
    return [sentence for sentence, row in zip(long, rows, strict=True) if len(row) > context_length]


def most_tokens(sentence: str) -> int:
    """An upper bound of a sentence's tokens: one a byte, as it is normalised, and those of start and end."""
    return len(unicodedata.normalize("NFC", sentence).lower().encode("utf-8", "surrogatepass")) + 2


def check_tokens(
    tokenizer: Any, sentences: Sequence[str], token_ids: np.ndarray, vocab_size: int, end: int, name: str
) -> None:
    """Raises InputError, naming the sentence, unless the model `name` has its tokens and it has an end."""
    for sentence, row in zip(sentences, token_ids, strict=True):
        if row.max() >= vocab_size:
            token = tokenizer.convert_ids_to_tokens(int(row.max()))
            raise InputError(
                f"{name}: {shortened(sentence)} has the token {token!r} of id {row.max()}, but the model has "
                f"embeddings of {vocab_size} tokens; leave it out, or copy the model's own tokenizer"
            )
        if end not in row:
            raise InputError(
                f"{name}: its tokenizer ends {shortened(sentence)} without token {end}, at which the model "
                "reads a sentence; copy the model's own tokenizer"
            )


def shortened(sentence: str, most: int = 80) -> str:
    """A sentence in quotes on one line, without its middle where it is long."""
    half = (most - 3) // 2
    return repr(sentence if len(sentence) <= most else f"{sentence[:half]}...{sentence[-half:]}")
